// Light or dark: what was chosen here, else what the system says.

const NAME = "play-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const stored = () => localStorage.getItem(NAME);

function apply() {
  document.documentElement.dataset.theme = stored() || (system.matches ? "dark" : "light");
}

export function toggleTheme() {
  localStorage.setItem(NAME, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  apply();
}

system.addEventListener("change", apply);
apply();
