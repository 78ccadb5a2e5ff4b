import numpy as np

from lll.show.plots.page import Html, page, table, tag, thumbnail


def test_foreign_text_is_escaped_everywhere():
    foreign = "<img src=x onerror=alert(1)> \"quoted\" 'too' &"
    image = np.zeros((200, 100, 3), dtype=np.uint8)
    body = table([foreign], [[foreign, foreign]], foreign) + thumbnail(image, foreign, foreign)
    document = page(foreign, tag("p", foreign, title=foreign), {foreign: Html(body)})
    assert "<img src=x" not in document
    assert document.count("<img ") == 1
    assert "onerror=alert(1)&gt; &quot;quoted&quot;" in document


def test_the_page_forbids_itself_every_request():
    document = page("t", Html(""), {"One part": Html("<p>x</p>")})
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in document
    assert '<a href="#one-part">' in document
    assert 'id="one-part"' in document
