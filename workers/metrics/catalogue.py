"""Every figure that a process offers to Prometheus: name, kind, labels, meaning.

The figures themselves stand in `figures_receiving`, `figures_jobs` and `figures_site`.

Labels take few values: states, queues, codes, names of configured destinations, hosts. None is a
UID, a job or anything of a patient. ``docs/metrics.md`` is written from this table
(``python -m workers.metrics.catalogue``); tests compare it, and what is exposed, with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.metrics.figures_jobs import ANALYSES, DELIVERIES, JOBS
from workers.metrics.figures_receiving import DISK, RECEIVED
from workers.metrics.figures_site import DRIFT, SITE
from workers.metrics.metric import EVERY, Metric, Role

GROUPS: dict[str, tuple[Metric, ...]] = {
    "Receiving": RECEIVED,
    "Disk": DISK,
    "Jobs and queues": JOBS,
    "Deliveries": DELIVERIES,
    "Analyses and workers": ANALYSES,
    "Drift per scanner": DRIFT,
    "Site and processes": SITE,
}
METRICS: dict[str, Metric] = {metric.name: metric for group in GROUPS.values() for metric in group}


def of_role(role: Role) -> list[Metric]:
    """What a process of this role offers."""
    return [metric for metric in METRICS.values() if role in metric.roles]


def table(metrics: Sequence[Metric]) -> str:
    """A Markdown table of some figures."""
    lines = ["| metric | kind | labels | from | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        roles = "all" if metric.roles == EVERY else ", ".join(metric.roles)
        cells = (f"`{metric.name}`", metric.kind, labels, roles, metric.help)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> str:
    """All tables, as docs/metrics.md holds them."""
    return "\n\n".join(f"### {title}\n\n{table(group)}" for title, group in GROUPS.items())


if __name__ == "__main__":
    print(tables())  # noqa: T201 - for docs/metrics.md
