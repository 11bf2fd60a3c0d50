"""`pulmonode`: every command in one place.

Analysing needs image processing (extra ``worker``); on a machine that has only the extra
``node`` those commands are not offered, and everything else works. So it is with users, tokens and
audit, which need the extra ``console``.
"""

from __future__ import annotations

from importlib.util import find_spec

import typer

from workers.cli import (
    answers,
    backup,
    context,
    jobs,
    network,
    queues,
    report_text,
    rules,
    serve,
    storage,
)

app = typer.Typer(
    name="pulmonode",
    help="Finds and measures lung nodules in CT series that a PACS routes to it. "
    "Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
serve.register(app)
jobs.register(app)
answers.register(app)
queues.register(app)
storage.register(app)
backup.register(app)
context.register(app)
network.register(app)
rules.register(app)
report_text.register(app)
if find_spec("argon2") is not None:
    from workers.cli import access

    access.register(app)
if find_spec("scipy") is not None:
    from workers.cli import (
        bank,
        bench,
        demo,
        evaluate,
        evaluate_encoder,
        evaluate_grader,
        evaluate_modalities,
        evaluate_real,
        evaluate_segmenter,
        evaluate_site,
        local,
        simulate,
        train,
        train_encoder,
        train_grader,
        train_pictures,
        train_segmenter,
    )

    local.register(app)
    demo.register(app)
    bank.register(app)
    train_segmenter.register()
    train_encoder.register()
    train_grader.register()
    train_pictures.register()
    evaluate_segmenter.register()
    evaluate_grader.register()
    evaluate_modalities.register()
    evaluate_real.register()
    evaluate_encoder.register()
    evaluate_site.register()
    train.register(app)
    evaluate.register(app)
    bench.register(app)
    simulate.register(app)

if __name__ == "__main__":
    app()
