"""`pulmonode bench scale`: one day of a hospital, replayed through the real service.

`day` (who comes when) -> `studies` (what is sent) -> `sending` (who sends it), against
`short_service`, watched by `watching`; `verdict` says what became of each study, `replay` puts
it together with `stages`, `picture` draws it.
"""
