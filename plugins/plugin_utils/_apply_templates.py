# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Render the templates of an apply task in the controller.

This module is private to the collection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from ansible import template as ansible_template
from ansible.errors import AnsibleError
from ansible.template import generate_ansible_template_vars
from jinja2 import TemplateSyntaxError

from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import InputError
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import (
    expand,
    parse_text,
    plain,
    plain_text,
)

# ansible-core 2.19 trusts text explicitly; before that every text is a template until it is marked unsafe
TRUST = getattr(ansible_template, "trust_as_template", None)


class Renderer:
    """Renders the templates of one task; ``action`` is the action plugin that runs it."""

    def __init__(self, action: Any, task_vars: dict[str, Any], live: dict[str, Any]) -> None:
        self._action = action
        self._variables = {**task_vars, "live": live if TRUST is not None else _unsafe(live)}

    def render(self, names: list[str]) -> list[tuple[dict[str, Any], str]]:
        """Return the objects in all templates with the template that each came from. Raises InputError."""
        documents: list[tuple[dict[str, Any], str]] = []
        for name in names:
            content = self._render_one(name)
            found = parse_text(plain_text(content), name) if isinstance(content, str) else expand(plain(content), name)
            documents += [(document, name) for document in found]
        return documents

    def _render_one(self, name: str) -> Any:
        try:
            path = self._action._find_needle("templates", name)
            text = self._read(path)
        except AnsibleError as error:
            raise InputError(f"template {name}: {error}") from None
        variables = {**self._variables, **generate_ansible_template_vars(name, path)}
        templar = self._action._templar.copy_with_new_env(
            searchpath=self._search_path(path), available_variables=variables, **_environment()
        )
        try:
            if TRUST is not None:
                return templar.template(TRUST(text), escape_backslashes=False)
            return templar.do_template(text, preserve_trailing_newlines=True, escape_backslashes=False)
        # filters and lookups raise whatever they like, and all of it is the template's fault
        except Exception as error:
            raise InputError(describe(error, name, path, text)) from None

    def _read(self, path: str) -> str:
        loader = self._action._loader
        if hasattr(loader, "get_text_file_contents"):
            text: str = loader.get_text_file_contents(path)
            return text
        with open(loader.get_real_file(path), encoding="utf-8") as stream:
            return stream.read()

    def _search_path(self, path: str) -> list[str]:
        roots = [*self._variables.get("ansible_search_path", ()), self._action._loader.get_basedir()]
        found = [os.path.dirname(path)]
        for root in roots:
            found += [os.path.join(root, "templates"), root]
        return found


def _environment() -> dict[str, Any]:
    if TRUST is not None:
        return {}
    # the native environment of older cores would turn the text into Python objects
    return {"environment_class": ansible_template.AnsibleEnvironment}


def _unsafe(value: Any) -> Any:
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)


def describe(error: BaseException, name: str, path: str, text: str) -> str:
    """Return what is wrong with a template, where, without the text of the template."""
    for item in _chain(error):
        if isinstance(item, TemplateSyntaxError):
            included = os.path.basename(item.filename or "") if item.filename not in (None, path, "<template>") else ""
            place = f"{name}, in {included} line {item.lineno}" if included else f"{name}, line {item.lineno}"
            return f"template {place}: {item.message}"
    problem = _innermost(error)
    line = next(_template_lines(error), None) or _line_of_undefined(problem, text)
    place = f"{name}, line {line}" if line else name
    return f"template {place}: {problem}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or getattr(error, "orig_exc", None) or error.__context__


def _template_lines(error: BaseException) -> Iterator[int]:
    """Yield the lines of templates in the tracebacks, the innermost of each traceback first."""
    for item in _chain(error):
        lines = []
        traceback = item.__traceback__
        while traceback is not None:
            template = traceback.tb_frame.f_globals.get("__jinja_template__")
            if template is not None:
                lines.append(template.get_corresponding_lineno(traceback.tb_lineno))
            elif "__jinja_exception__" in traceback.tb_frame.f_globals:
                # Jinja has put the template's own line there already
                lines.append(traceback.tb_lineno)
            traceback = traceback.tb_next
        yield from reversed(lines)


def _line_of_undefined(problem: str, text: str) -> int | None:
    """Return the first line that names an undefined variable; newer cores notice it only after rendering."""
    match = re.match(r"'(\w+)' is undefined", problem)
    if match is None:
        return None
    name = re.compile(rf"\b{match[1]}\b")
    return next((number for number, line in enumerate(text.splitlines(), 1) if name.search(line)), None)


def _innermost(error: BaseException) -> str:
    texts = [str(item).strip() for item in _chain(error) if str(item).strip()]
    # older cores quote the whole template after this word
    return texts[-1].split(". String:")[0] if texts else type(error).__name__
