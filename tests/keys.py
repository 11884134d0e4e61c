"""What an idempotency key may be: one table for REST, gRPC and the Checkout resource.

Every character here has the same category in Unicode 14 and later, so that the table does not depend on the Unicode version
of Python or of the API server.
"""

ACCEPTED = {
    "one letter": "k",
    "a UUID": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "255 characters": "k" * 255,
    "255 characters of two bytes": "ü" * 255,
    "255 characters of four bytes": "\U0001f600" * 255,
    "spaces inside": "my first order",
    "spaces around": " k ",
    "quotes, commas and backslashes": '"a", \\b\\',
    "no-break space": "a\u00a0b",
    "ideographic space": "a\u3000b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "Persian with a zero-width non-joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "a family of emoji, joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a flag of tag characters": "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    "an emoji with a variation selector": "\u2764\ufe0f",
    "a combining accent": "e\u0301",
    "soft hyphen": "a\u00adb",
    "right-to-left mark": "a\u200fb",
    "right-to-left override": "a\u202eb",
    "byte order mark": "a\ufeffb",
    "private use": "a\ue000b",
    "private use of the last plane": "a\U0010fffdb",
    "replacement character": "a\ufffdb",
    "only a zero-width space, which is not blank": "\u200b",
}
REFUSED = {
    "empty": "",
    "256 characters": "k" * 256,
    "256 characters of four bytes": "\U0001f600" * 256,
    "a space": " ",
    "spaces of other scripts": "\u00a0\u2003\u3000\u1680\u202f\u205f",
    "line and paragraph separators alone": "\u2028\u2029",
    "NUL": "a\x00b",
    "tab": "a\tb",
    "line feed": "a\nb",
    "line feed at the end": "a\n",
    "carriage return": "a\rb",
    "escape": "a\x1bb",
    "unit separator": "a\x1fb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "last of the C1 controls": "a\x9fb",
    "unassigned": "a\u0378b",
    "unassigned in a later plane": "a\U000e0080b",
    "a noncharacter": "a\ufdd0b",
    "the last code point of its plane": "a\uffffb",
    "the last code point": "a\U0010ffffb",
}
SURROGATES = {
    "a high surrogate": "a\ud800b",
    "a low surrogate": "a\udfff",
    "a pair the wrong way round": "\ude00\ud83d",
}
"""Refused by REST. No gRPC message can hold one; the API server reads one as U+FFFD before it looks at any rule."""
