"""Contrast of text in a real browser, by the formula of WCAG 2."""

from __future__ import annotations

from typing import Any

_RATIOS = """(glyphs) => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const weights = [0.2126, 0.7152, 0.0722];
    const light = (rgb) => weights.reduce((sum, one, at) => sum + one * linear(rgb[at] / 255), 0);
    const ratio = (one, other) => {
        const [low, high] = [light(parse(one)), light(parse(other))].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const under = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if ((parse(colour)[3] ?? 1) > 0.5) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    if (!glyphs) {
        return [...document.querySelectorAll('body *')]
            .filter((one) => !(one instanceof SVGElement) && !one.disabled && one.checkVisibility())
            .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
            .filter((one) => getComputedStyle(one).clipPath === 'none')
            .map((one) => [one.textContent.trim(), ratio(getComputedStyle(one).color, under(one))]);
    }
    return [...document.querySelectorAll('.board text')].map((one) => {
        const box = one.getBBox();
        const middle = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
        const board = [...one.ownerSVGElement.querySelectorAll('.fill, circle')];
        const fill = board.filter((path) => path.isPointInFill(middle)).pop();
        return [one.textContent, ratio(getComputedStyle(one).fill, getComputedStyle(fill).fill)];
    });
}"""


def faint(page: Any, least: float, *, glyphs: bool = False) -> list[tuple[str, float]]:
    """Texts of a page, or glyphs of its boards, whose contrast to the ground is below `least`."""
    found = page.evaluate(_RATIOS, glyphs)
    assert found, "there is text"
    return [(text, round(ratio, 2)) for text, ratio in found if ratio < least]
