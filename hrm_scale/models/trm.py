"""The Tiny Recursive Model: one small network for both levels (arXiv 2510.04871, sec. 4)."""

from __future__ import annotations

from hrm_scale.models.hrm import HrmCore


class TrmCore(HrmCore):
    """HRM's reasoning step with the blocks of `L_layers` as both levels.

    As published, all of the last high-level cycle keeps a gradient (`grad_cycles: all`), and no
    value of going on is learned (`q_continue: none`).
    """

    slow = fast = "L_level"
