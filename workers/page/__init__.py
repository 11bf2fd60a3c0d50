"""The one-page report (PDF) and the words on pictures: findings and headers in, bytes out.

`content` says what stands on a page, `compose` makes it from findings and the study's header in
the words of `words`, `layout` draws it with the letters of `typeface`.
"""
