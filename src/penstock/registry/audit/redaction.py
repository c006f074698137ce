"""What must not stand in an audit is taken out of prompts and answers before they are written.

Patterns run on RE2, whose time grows with the text and never with the pattern's cunning: a prompt
is written by whoever likes to. They see the text of every JSON string on its own, unescaped; keys
of objects are left alone. What was found is replaced by its rule's name: `[email]`.
"""

from collections.abc import Callable, Mapping, Sequence

import re2

from penstock.ground.errors import UserError

RULES = ("email", "card", "aws_key", "api_key", "phone")
"""The built-in rules, in the order in which they are applied."""

_MAX_MEMORY = 8 << 20
_PATTERNS: Mapping[str, str] = {
    "email": r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+",
    "card": r"[0-9](?:[ -]?[0-9]){12,59}",
    "aws_key": r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}\b"
    r"|(?i:aws[a-z_ ]{0,20}secret[a-z_ ]{0,20}[\"' ]{0,3}[:=][\"' ]{0,3})[A-Za-z0-9/+]{40}",
    "api_key": r"\b(?:sk|pk|rk|ps|hf|xox[abeoprs]|gh[opsur]|github_pat|glpat|npm|pypi)[-_]"
    r"[A-Za-z0-9_-]{16,}"
    r"|\bAIza[A-Za-z0-9_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?i:\bbearer +)[A-Za-z0-9._~+/-]{16,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    "phone": r"(?:\+|\b00)[1-9][0-9]{0,2}(?:[ ./()-]{0,3}[0-9]){6,12}\b"
    r"|\(?\b[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b"
    r"|\b0[1-9][0-9]{1,4}[ /-][0-9](?:[ -]?[0-9]){4,9}\b",
}


class Redaction:
    """Applies rules to texts and to all texts in JSON."""

    def __init__(self, rules: Sequence[str], patterns: Mapping[str, str]) -> None:
        """`patterns` are the user's own, by name; they come first.

        Raises:
            UserError: one is no pattern that RE2 takes.
        """
        options = re2.Options()
        options.max_mem, options.log_errors = _MAX_MEMORY, False
        self._steps: list[tuple[str, re2._Regexp, Callable[[str], bool]]] = []
        ordered = [rule for rule in RULES if rule in rules]
        for name, pattern in (*patterns.items(), *((rule, _PATTERNS[rule]) for rule in ordered)):
            try:
                compiled = re2.compile(pattern, options)
            except re2.error as error:
                raise UserError(
                    f"audit.patterns.{name} is no pattern that can be used",
                    why=str(error),
                    fix="RE2 has no back-references and no look-around.",
                ) from None
            applies = is_card if name == "card" and name not in patterns else _always
            self._steps.append((name, compiled, applies))

    def text(self, text: str) -> str:
        """Return a text without what the rules find."""
        for name, pattern, applies in self._steps:
            mark = f"[{name}]"

            def replace(
                match: "re2._Match", mark: str = mark, applies: Callable[[str], bool] = applies
            ) -> str:
                found: str = match.group()
                return mark if applies(found) else found

            text = pattern.sub(replace, text)
        return text

    def value(self, value: object) -> object:
        """Return JSON with every string in it redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {name: self.value(each) for name, each in value.items()}
        if isinstance(value, int) and not isinstance(value, bool):
            text = str(value)
            kept = self.text(text)
            return value if kept == text else kept
        return value


def is_card(text: str) -> bool:
    """Whether a run of digits is a card number, or holds one of the usual forms among others.

    13 to 19 digits that pass the check of card numbers (Luhn, ISO/IEC 7812-1); inside a longer
    run 16 digits that begin with 2 to 6, or 15 that begin with 34 or 37.
    """
    digits = [int(each) for each in text if each.isdigit()]
    if 13 <= len(digits) <= 19 and _adds_up(digits):
        return True
    for start in range(len(digits) - 14):
        usual, amex = digits[start : start + 16], digits[start : start + 15]
        if len(usual) == 16 and 2 <= usual[0] <= 6 and _adds_up(usual):
            return True
        if amex[0] == 3 and amex[1] in (4, 7) and _adds_up(amex):
            return True
    return False


def _adds_up(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * each, 10)) for each in digits[-2::-2]]
    return any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _always(_: str) -> bool:
    return True
