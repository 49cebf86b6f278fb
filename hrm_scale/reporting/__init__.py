"""What a run tells: terminal, `log.txt`, `metrics.jsonl`, `events.jsonl`, W&B.

Imports: base.
"""

from hrm_scale.reporting.banner import render_banner
from hrm_scale.reporting.opening import open_reporter
from hrm_scale.reporting.sinks import Reporter, Sink

__all__ = ["Reporter", "Sink", "open_reporter", "render_banner"]
