"""HTMLRewriter: handlers of elements, comments and text, called while a response streams through.

See https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import AsyncIterator
from typing import Any

from .arrays import JsIterator, make_array
from .body import BODY_USED
from .convert import js_string, unwrap
from .core import JsProxy, jsnull, merged, option, raise_js
from .html_selectors import Test, compile_selector
from .html_tokens import VOID, Token, Tokenizer
from .response import Response
from .streams import chunk_bytes, stream_from, stream_of

_BAD_NAME = re.compile(r"[\s/>=]")
_DOCTYPE = re.compile(r"""(\S+)?(?:\s+(?:public|system)\s*("[^"]*"|'[^']*')?\s*("[^"]*"|'[^']*')?)?""", re.IGNORECASE)


def _content(value: Any, options: Any, keywords: dict[str, Any]) -> str:
    """What a handler inserts: text is escaped, unless its options say that it is HTML."""
    text = js_string(unwrap(value))
    if option(merged(options, keywords), "html"):
        return text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Part(JsProxy):
    """A token on its way through: what is put around it, and whether it goes."""

    def __init__(self) -> None:
        self.__dict__.update(_before=[], _after=[], _replaced=None, removed=False)

    def before(self, content: Any, options: Any = None, **keywords: Any) -> Any:
        self._before.append(_content(content, options, keywords))
        return self

    def after(self, content: Any, options: Any = None, **keywords: Any) -> Any:
        self._after.insert(0, _content(content, options, keywords))
        return self

    def replace(self, content: Any, options: Any = None, **keywords: Any) -> Any:
        self.__dict__.update(_replaced=_content(content, options, keywords), removed=True)
        return self

    def remove(self) -> Any:
        self.__dict__["removed"] = True
        return self

    def _written(self, source: str) -> str:
        kept = (self._replaced or "") if self.removed else source
        return "".join(self._before) + kept + "".join(self._after)


class Comment(_Part):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.__dict__.update(_text=text, _changed=False)

    @property
    def text(self) -> str:
        return self.__dict__["_text"]

    @text.setter
    def text(self, value: Any) -> None:
        if "-->" in js_string(value):
            raise_js("TypeError", "The comment text contains the closing sequence `-->`.")
        self.__dict__.update(_text=js_string(value), _changed=True)


class Text(_Part):
    def __init__(self, text: str, last: bool) -> None:
        super().__init__()
        self.__dict__.update(text=text, lastInTextNode=last)


class Doctype(JsProxy):
    def __init__(self, text: str) -> None:
        found = _DOCTYPE.match(text)
        name, first, second = found.groups() if found is not None else (None, None, None)
        public = "public" in text.lower()
        ids = (first, second) if public else (None, first)
        self.__dict__.update(
            name=name.lower() if name else jsnull,
            publicId=ids[0][1:-1] if ids[0] else jsnull,
            systemId=ids[1][1:-1] if ids[1] else jsnull,
        )


class DocumentEnd(JsProxy):
    def __init__(self) -> None:
        self._appended: list[str] = []

    def append(self, content: Any, options: Any = None, **keywords: Any) -> DocumentEnd:
        self._appended.append(_content(content, options, keywords))
        return self


class EndTag(_Part):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.__dict__.update(_name=name, _renamed=False)

    @property
    def name(self) -> str:
        return self.__dict__["_name"]

    @name.setter
    def name(self, value: Any) -> None:
        self.__dict__.update(_name=js_string(value), _renamed=True)


class Element(_Part):
    def __init__(self, token: Token, node: _Node) -> None:
        super().__init__()
        self.__dict__.update(
            _token=token, _node=node, _name=token.name, _written_name=token.source[1 : 1 + len(token.name)], _attributes=list(token.attributes), _changed=False,
            _prepended=[], _appended=[], _inner=None, _keeps_content=False, _end_handlers=[],
        )  # fmt: skip

    @property
    def tagName(self) -> str:
        return self.__dict__["_name"]

    @tagName.setter
    def tagName(self, value: Any) -> None:
        name = js_string(value)
        if not re.match(r"[A-Za-z][^\s/>]*\Z", name):
            raise_js("TypeError", "The tag name is invalid.")
        self.__dict__.update(_name=name, _written_name=name, _changed=True)

    @property
    def namespaceURI(self) -> str:
        return "http://www.w3.org/1999/xhtml"

    @property
    def selfClosing(self) -> bool:
        return self._token.self_closing

    @property
    def canHaveContent(self) -> bool:
        return self._token.name not in VOID

    @property
    def attributes(self) -> Any:
        pairs = [make_array([name, html.unescape(value)]) for name, value, _ in self._attributes]
        return JsIterator.new(iter(pairs))

    def getAttribute(self, name: Any) -> Any:
        wanted = js_string(name).lower()
        return next((html.unescape(value) for key, value, _ in self._attributes if key == wanted), jsnull)

    def hasAttribute(self, name: Any) -> bool:
        return any(key == js_string(name).lower() for key, _, _ in self._attributes)

    def setAttribute(self, name: Any, value: Any = None) -> Element:
        key = js_string(name).lower()
        if not key or _BAD_NAME.search(key):
            raise_js("TypeError", "The attribute name is invalid.")
        text = js_string(value)
        quoted = text.replace('"', "&quot;")
        entry = (key, quoted, f'{key}="{quoted}"')
        found = next((at for at, item in enumerate(self._attributes) if item[0] == key), None)
        if found is None:
            self._attributes.append(entry)
        else:
            written = self._attributes[found][2][: len(key)]  # in the letters that it had
            self._attributes[found] = (key, quoted, f'{written}="{quoted}"')
        self.__dict__["_changed"] = True
        return self

    def removeAttribute(self, name: Any) -> Element:
        wanted = js_string(name).lower()
        kept = [item for item in self._attributes if item[0] != wanted]
        if len(kept) != len(self._attributes):
            self.__dict__.update(_attributes=kept, _changed=True)
        return self

    def prepend(self, content: Any, options: Any = None, **keywords: Any) -> Element:
        self._prepended.insert(0, _content(content, options, keywords))
        return self

    def append(self, content: Any, options: Any = None, **keywords: Any) -> Element:
        self._appended.append(_content(content, options, keywords))
        return self

    def setInnerContent(self, content: Any, options: Any = None, **keywords: Any) -> Element:
        self.__dict__["_inner"] = _content(content, options, keywords)
        return self

    def removeAndKeepContent(self) -> Element:
        self.__dict__.update(removed=True, _keeps_content=True)
        return self

    def onEndTag(self, handler: Any) -> None:
        if not self.canHaveContent:
            raise_js("TypeError", "Parser error: No end tag.")
        self.__dict__["_end_handlers"] = [handler]  # the last one counts

    def _start_tag(self) -> str:
        token = self._token
        if not self._changed:
            return token.source
        parts = [self._written_name, *(source for _, _, source in self._attributes)]
        return f"<{' '.join(parts)}{' />' if token.self_closing else '>'}"


class _Node:
    """An open element."""

    def __init__(self, token: Token, parent: _Node | None, index: int, index_of_type: int) -> None:
        self.name = token.name
        self.parent = parent
        self.index = index
        self.index_of_type = index_of_type
        self.children = 0
        self.children_of_type: dict[str, int] = {}
        self.element: Element | None = None
        #: Whether what is inside is dropped.
        self.silent = False
        # Of two attributes of one name the first counts.
        self._values = {name: html.unescape(value) for name, value, _ in reversed(token.attributes)}

    def attribute(self, name: str) -> str | None:
        return self._values.get(name)


class HTMLRewriter(JsProxy):
    def __init__(self, *_options: Any) -> None:
        self._on: list[tuple[Test, Any]] = []
        self._on_document: list[Any] = []

    def on(self, selector: Any, handlers: Any) -> HTMLRewriter:
        self._on.append((compile_selector(js_string(selector)), unwrap(handlers)))
        return self

    def onDocument(self, handlers: Any) -> HTMLRewriter:
        self._on_document.append(unwrap(handlers))
        return self

    def transform(self, response: Any) -> Response:
        """A response with the same head, whose body is rewritten while it is read."""
        response = unwrap(response)
        if not isinstance(response, Response):
            raise_js(
                "TypeError", "Failed to execute 'transform' on 'HTMLRewriter': parameter 1 is not of type 'Response'."
            )
        made = Response.__new__(Response)
        made.__dict__.update(response.__dict__)
        made._headers = type(response._headers).new(response._headers)
        if response._content is None:
            return made
        made._headers.delete("content-length")
        source = response.body
        if source.locked or response._used:
            raise_js("TypeError", BODY_USED)
        source._reader = _Reading()
        response._used = True
        pieces = _Rewriting(self._on, self._on_document).run(source)

        async def pull() -> bytes:
            async for piece in pieces:
                if piece:
                    return piece.encode("utf-8", "surrogatepass")
            return b""

        made._content = stream_from(pull, lambda reason=None: source._stop(reason))
        made._used = False
        return made


class _Reading:
    """Stands for the reader that the rewriter is."""

    def __init__(self) -> None:
        from .promise import _loop

        self._closed = _loop().create_future()


async def _call(handlers: Any, name: str, argument: Any) -> None:
    handler = handlers.get(name) if isinstance(handlers, dict) else getattr(handlers, name, None)
    if handler is None or handler is jsnull:
        return
    result = handler(argument)
    if hasattr(result, "__await__"):
        await result


class _Rewriting:
    """One page on its way through the handlers."""

    def __init__(self, on: list[tuple[Test, Any]], on_document: list[Any]) -> None:
        self._on = on
        self._on_document = on_document
        self._open: list[_Node] = []
        self._roots = _Node(Token("start", "", ""), None, 0, 0)
        #: Handlers of the text node that is open: they hear of its end.
        self._text_open = False

    async def run(self, source: Any) -> AsyncIterator[str]:
        tokenizer = Tokenizer()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async for chunk in source._chunks():
            yield await self._all(tokenizer.feed(decoder.decode(chunk_bytes(chunk))))
        yield await self._all([*tokenizer.feed(decoder.decode(b"", True)), *tokenizer.close()])
        yield await self._end_text()
        end = DocumentEnd.new()
        for handlers in self._on_document:
            await _call(handlers, "end", end)
        yield "".join(end._appended)

    async def _all(self, tokens: list[Token]) -> str:
        return "".join([await self._one(token) for token in tokens])

    async def _one(self, token: Token) -> str:
        if token.kind == "text":
            return await self._text(token.source, last=False)
        closing = await self._end_text()
        return closing + await getattr(self, f"_{token.kind}")(token)

    @property
    def _silent(self) -> bool:
        return bool(self._open) and self._open[-1].silent

    def _matching(self, node: _Node | None) -> list[Any]:
        """Handlers for what is inside of `node`: those of it and of all elements around it."""
        found = []
        for test, handlers in self._on:
            above = node
            while above is not None:
                if test(above):
                    found.append(handlers)
                    break
                above = above.parent
        return found

    async def _text(self, source: str, *, last: bool) -> str:
        self._text_open = not last
        if self._silent:
            return ""
        part = Text.new(source, last)
        handlers = [*self._matching(self._open[-1] if self._open else None), *self._on_document]
        for one in handlers:
            await _call(one, "text", part)
        return part._written(source)

    async def _end_text(self) -> str:
        return await self._text("", last=True) if self._text_open else ""

    async def _comment(self, token: Token) -> str:
        if self._silent:
            return ""
        part = Comment.new(token.text)
        for handlers in [*self._matching(self._open[-1] if self._open else None), *self._on_document]:
            await _call(handlers, "comments", part)
        return part._written(f"<!--{part.text}-->" if part._changed else token.source)

    async def _doctype(self, token: Token) -> str:
        for handlers in self._on_document:
            await _call(handlers, "doctype", Doctype.new(token.text))
        return "" if self._silent else token.source

    async def _start(self, token: Token) -> str:
        parent = self._open[-1] if self._open else None
        counts = parent or self._roots
        counts.children += 1
        counts.children_of_type[token.name] = counts.children_of_type.get(token.name, 0) + 1
        node = _Node(token, parent, counts.children, counts.children_of_type[token.name])
        node.silent = self._silent
        written = "" if node.silent else token.source
        if not node.silent:
            handlers = [handlers for test, handlers in self._on if test(node)]
            if handlers:
                element = node.element = Element.new(token, node)
                for one in handlers:
                    await _call(one, "element", element)
                written = self._begun(element, node)
        if token.name not in VOID and not (token.self_closing and self._in_foreign()):
            self._open.append(node)
        elif node.element is not None:
            written += "".join(node.element._after)
        return written

    def _in_foreign(self) -> bool:
        return any(node.name in ("svg", "math") for node in self._open)

    def _begun(self, element: Element, node: _Node) -> str:
        before = "".join(element._before)
        if element.removed and not element._keeps_content:
            node.silent = True
            return before + (element._replaced or "")
        start = "" if element.removed else element._start_tag()
        if not element.canHaveContent:
            return before + start
        if element._inner is not None:
            node.silent = True
            return before + start + "".join(element._prepended) + element._inner
        return before + start + "".join(element._prepended)

    async def _end(self, token: Token) -> str:
        place = next((at for at in range(len(self._open) - 1, -1, -1) if self._open[at].name == token.name), None)
        if place is None:
            return "" if self._silent else token.source
        node = self._open[place]
        del self._open[place:]
        outer_silent = self._silent
        element = node.element
        if element is None:
            return "" if outer_silent else token.source
        if element.removed and not element._keeps_content:
            return "".join(element._after)
        tag = EndTag.new(token.name)
        if element._name != element._token.name:
            tag.name = element._name
        for handler in element._end_handlers:
            result = unwrap(handler)(tag)
            if hasattr(result, "__await__"):
                await result
        source = f"</{tag.name}>" if tag._renamed else token.source
        if element.removed:
            source = ""
        return "".join(element._appended) + tag._written(source) + "".join(element._after)


__all__ = ["Comment", "Doctype", "DocumentEnd", "Element", "EndTag", "HTMLRewriter", "Text", "stream_of"]
