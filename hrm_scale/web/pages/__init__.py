"""The pages, a folder each: `index.html` names its style sheets and scripts in the order in which
they run."""
