# SPDX-License-Identifier: Apache-2.0
"""
Any text at all as a member of a document: taken and shown again as it was sent, or refused by name.

hypothesis draws it, odd characters first; what may be taken is worked out here from docs/api.md.
"""
import json
import unicodedata

from hypothesis import HealthCheck, given, settings, strategies as st

from harness import data, faulty, unique

BIDI = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                 suppress_health_check=list(HealthCheck))

anything = st.text(st.characters(), max_size=300)     # surrogates too
nearly = st.text(st.sampled_from("a/.\\ \u00e4\u202e\u2066\n\t\x7f\x85\ufeff\U0001F600%:~"),
                 max_size=40)
texts = anything | nearly | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=70)


def printable(text):
    """No half of a surrogate pair, no control character, no override of the writing direction."""
    return not any(unicodedata.category(c) in ("Cs", "Cc") or c in BIDI for c in text)


def a_name(text):
    return 1 <= len(text) <= 255 and printable(text)


def a_tag(text):
    return 1 <= len(text) <= 64 and printable(text)


def a_storage_path(text):
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return 1 <= size <= 1024 and "\\" not in text and printable(text) and all(
        segment not in ("", ".", "..") for segment in text.split("/"))


def send(api, **members):
    body = {"name": "n", "mime_type": "a/b", "storage_path": unique("p"), **members}
    # as escapes: half a surrogate pair has no UTF-8
    return api.post("/v1/documents", data=json.dumps(body),
                    headers={"Content-Type": "application/json"})


def check(api, member, value, good):
    answer = send(api, **{member: value})
    if answer.status_code == 400 and "details" not in answer.json()["error"]:
        # the text as a whole is no JSON: half a surrogate pair, or a NUL
        assert not good
        assert any(c == "\0" or unicodedata.category(c) == "Cs" for c in "".join(value))
    elif good:
        made = data(answer, 201)
        assert made[member] == value
        shown = data(api.get(f"/v1/documents/{made['id']}"))
        assert shown[member] == value
        api.delete(f"/v1/documents/{made['id']}", expect=204)
    else:
        assert all(field.startswith(member) for field in
                   answer.json()["error"]["details"]["fields"]), answer.text


def test_names(api):
    @QUICK
    @given(texts)
    def run(text):
        check(api, "name", text, a_name(text))
    run()


def test_tags(api):
    @QUICK
    @given(st.lists(texts, max_size=4, unique=True))
    def run(tags):
        check(api, "tags", tags, all(map(a_tag, tags)))
    run()


def test_storage_paths(api):
    @QUICK
    @given(texts | st.lists(texts, max_size=4).map("/".join))
    def run(text):
        check(api, "storage_path", text, a_storage_path(text))
    run()


def test_searching_for_any_text(api):
    """Nothing but an answer; and a name is found by itself."""
    @QUICK
    @given(texts.filter(a_name))
    def run(text):
        made = data(send(api, name=text), 201)
        found = data(api.get("/v1/documents", params={"search": text, "per_page": 100}))
        assert made["id"] in [one["id"] for one in found["documents"]]
        api.delete(f"/v1/documents/{made['id']}", expect=204)
    run()


def test_a_wrong_kind_of_member(api):
    """Whatever JSON stands where a text should: refused by name, or null is absent."""
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False,
                                                                              allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner,
                                                                    max_size=3), max_leaves=5)

    @QUICK
    @given(st.sampled_from(["name", "mime_type", "storage_path", "description", "folder"]),
           json_values)
    def run(member, value):
        answer = send(api, **{member: value})
        if value is None and member in ("description", "folder"):
            data(answer, 201)
        else:
            faulty(answer, member)
    run()
