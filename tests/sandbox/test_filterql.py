"""The sandbox reads filters as Lytics' own parser does; no line here comes from what the tap writes.

The tables were run through that parser (github.com/lytics/qlbridge at 34c67a3): what stands here is what it made of them.
"""

import pytest

from sandbox import AudienceSpec
from sandbox.filterql import FilterError, parse
from tests.sandbox.calls import find, lytics

UNREADABLE = None
TEXTS = [
    # What stands between the quotes, and what the parser makes of it.
    ("ada@example.com", "ada@example.com"),
    ("o'brien@example.com", "o'brien@example.com"),
    ("jörg@example.com", "jörg@example.com"),
    ("日本@example.com", "日本@example.com"),
    ("😀@example.com", "😀@example.com"),
    ("", ""),
    (" ada ", " ada "),
    ("a,b", "a,b"),
    ("a)b", "a)b"),
    ("a(b", "a(b"),
    ("a*b", "a*b"),
    ("a%b", "a%b"),
    ("a b", "a b"),
    ("$x", "$x"),
    (":x", ":x"),
    ("--x", "--x"),
    ("# x", "# x"),
    ("// x", "// x"),
    ("a /* b", "a /* b"),
    ("a; b", "a; b"),
    ("'x'", "'x'"),
    ("`x`", "`x`"),
    ("[x]", "[x]"),
    ("true", "true"),
    ("123", "123"),
    ("now-3d", "now-3d"),
    (")) FROM content --", ")) FROM content --"),
    ("a\nb", "a\nb"),
    ("a\r\nb", "a\r\nb"),
    ("a\tb", "a\tb"),
    ("a\x01\x1f\x7fb", "a\x01\x1f\x7fb"),
    ("a\u2028b", "a\u2028b"),
    # A backslash is an ordinary letter: a doubled one is searched for as two.
    ("DOM\\user", "DOM\\user"),
    ("DOM\\\\user", "DOM\\\\user"),
    ("\\start", "\\start"),
    ("a\\b@example.com", "a\\b@example.com"),
    ("a\\nb", "a\\nb"),
    # A quote is written twice.
    ('a""b', 'a"b'),
    ('""a b""@example.com', '"a b"@example.com'),
    ('ab""', 'ab"'),
    ('""', '"'),
    ('""""', '""'),
    ('a""; DROP', 'a"; DROP'),
    # It is hidden by a backslash, which then is lost; so a text that ends in one never ends.
    ('a\\"b', 'a"b'),
    ('a\\\\"b', 'a"b'),
    ('\\"', '"'),
    ("ab\\", UNREADABLE),
    ("\\", UNREADABLE),
    ("a\\\\", UNREADABLE),
    ('a\\""b', UNREADABLE),
    ('\\""', UNREADABLE),
    ('a"b', UNREADABLE),
    ('"', UNREADABLE),
    # A text that holds a quote loses its backslashes, and of each letter all but eight bits.
    ('a""b\\c', 'a"bc'),
    ('\\a""b', 'a"b'),
    ('""jörg""@example.com', '"j\ufffdrg"@example.com'),
    ('é""', '\ufffd"'),
    ('Ł""', 'A"'),
    ('本""', ',"'),
    ('日本""', '\ufffd,"'),
    ('a""😀', 'a"\0'),
    ("a\0b", UNREADABLE),
]


def constants(filter_text):
    """The values that a filter looks for; UNREADABLE for one that is refused."""
    try:
        return sorted(parse(filter_text, audience_of("vips")).values)
    except FilterError:
        return UNREADABLE


def audience_of(*names):
    """Makes the test for membership of audiences that have these names: a profile lists those that it is in."""

    def includes(name):
        if name not in names:
            raise KeyError(name)
        return lambda profile: name in profile.get("audiences", ())

    return includes


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_text_is_read_as_lytics_reads_it(text, expected):
    wanted = expected if expected is UNREADABLE else [expected]
    assert constants(f'FILTER email = "{text}"') == wanted
    assert constants(f'FILTER email IN ("{text}") FROM user') == wanted
    in_company = expected if expected is UNREADABLE else sorted({"b@example.com", expected})
    assert constants(f'FILTER AND (`email` IN ("{text}", "b@example.com"))') == in_company


def test_two_values_together_can_make_a_comment_of_the_rest():
    """The text that has no end swallows what follows, and the next one ends it: another table is read."""
    found = parse(
        'FILTER AND (email IN ("ab\\", ")) FROM content --", "x@example.com")) FROM user', audience_of()
    )
    assert (sorted(found.values), found.table) == (['ab", '], "content")


@pytest.mark.parametrize(
    ("name", "as_field", "after_include"),
    [
        ("vip", True, True),
        ("vip-2", True, True),
        ("_vip", True, True),
        ("e-mail", True, True),
        ("email.address", True, True),
        ("a/b", True, True),
        ("é", True, True),
        ("@vip", True, True),
        ("2vip", False, True),
        ("2024_q1", False, True),
        ("2nd_email", False, True),
        ("2024", False, False),
        ("12345678901234567890123456789012", False, False),
        ("-vip", False, False),
        ("user id", False, False),
        ("a:b", False, False),
        ("a$b", False, False),
        ("a\\b", False, False),
        ("a=b", False, False),
        *((word, False, True) for word in (
            "in", "from", "exists", "not", "and", "or", "like", "between", "with", "limit", "alias", "contains",
            "select", "include", "intersects", "null", "is", "as",
        )),
        *((word, True, True) for word in (
            "filter", "match_all", "where", "order", "group", "by", "key", "table", "now", "xor", "set", "having",
            "on", "if", "into",
        )),
    ],
)  # fmt: skip
def test_a_name_can_stand_plain_or_not(name, as_field, after_include):
    member = {name: "x", "audiences": [name]}
    for is_right, condition in ((as_field, f'{name} IN ("x")'), (after_include, f"INCLUDE {name}")):
        text = f'FILTER AND ({condition}, `{name}` = "x") FROM user'
        if is_right:
            assert parse(text, audience_of(name)).test(member)
        else:
            with pytest.raises(FilterError):
                parse(text, audience_of(name))


@pytest.mark.parametrize(
    "name",
    ["vip", "2vip", "2024", "-vip", "user id", "a:b", "a$b", "in", "null", "é", 'a"b', "a\\b", "a,b)", " "],
)
def test_backticks_make_any_name_an_identity(name):
    member = {name: "x", "audiences": [name]}
    for text in (f'`{name}` IN ("x")', f"INCLUDE `{name}`", f"EXISTS `{name}`"):
        found = parse(f"FILTER {text} FROM user", audience_of(name))
        assert found.test(member)
        assert not found.test({})


def test_brackets_and_single_quotes_do_so_too():
    member = {"user id": "x", "audiences": ["user id", "2024"]}
    for text in (
        '[user id] = "x"', "'user id' = \"x\"", "EXISTS 'user id'", "EXISTS [user id]", "INCLUDE 'user id'",
        "INCLUDE [user id]", "INCLUDE [2024]", "INCLUDE '2024'",
    ):  # fmt: skip
        assert parse(f"FILTER {text}", audience_of("user id", "2024")).test(member), text
    for text in ("[2024] = 1", "[-x] = 1", "``= 1", "INCLUDE ``", "INCLUDE ''", "EXISTS 'x", "INCLUDE `x"):
        with pytest.raises(FilterError):
            parse(f"FILTER {text}", audience_of("x", "2024", ""))


ADA = {
    "_id": "ada",
    "n": 5,
    "email": "ada@example.com",
    "tags": ["a", "b"],
    "ok": True,
    "audiences": ["vips"],
}
TRUE = [
    "*",
    "match_all",
    "n = 5",
    "n == 5",
    'n = "5"',
    "n != 6",
    "n <> 6",
    "n > 4",
    "n>=5",
    "n<6",
    "n <= 5",
    "ok = true",
    "ok != false",
    'email == "ada@example.com"',
    'email IN ("x" "ada@example.com")',
    'email IN ("ada@example.com",)',
    'email NOT IN ("x")',
    'NOT email IN ("x")',
    'NOT (email IN ("x"))',
    "NOT NOT INCLUDE vips",
    'email LIKE "ada*"',
    'email NOT LIKE "bob*"',
    'email CONTAINS "@exam"',
    'tags INTERSECTS ("b", "c")',
    'tags NOT INTERSECTS ("c")',
    'tags = "b"',
    "n BETWEEN 4 AND 6",
    "n NOT BETWEEN 5 AND 9",
    "EXISTS email",
    "EXISTS 'email'",
    "NOT EXISTS nothing",
    "include vips",
    "and (n = 5, include vips)",
    "AND(n = 5, ok = true)",
    "OR (n = 6, AND (n = 5, INCLUDE `vips`))",
    "NOT OR (n = 6, n = 7)",
    "AND (n = 5 INCLUDE vips)",
    "AND (\n  n = 5\n  NOT n = 6\n)",
    "AND (n = 5,, ok = true,)",
    "AND (-- first\n n = 5 # second\n, ok = true // third\n)",
    "(n = 5)",
    "n =\n5",
]
FALSE = [
    "n BETWEEN 5 AND 9",
    "n BETWEEN 1 AND 5",
    "n BETWEEN 5 AND 5",
    "EXISTS nothing",
    "email IN ()",
    'tags INTERSECTS ("c")',
    "NOT n = 5",
    'email IN ("ADA@example.com")',
]
REFUSED = [
    "",
    "n",
    "n =",
    "n = 5)",
    "(n = 5",
    "AND (n = 5",
    "AND n = 5",
    "n = 5 ok = true",
    "n = -5",
    "n = ok",
    "n = 'x'",
    "n = 5x",
    "n === 5",
    "n IN",
    "n IN (",
    'n IN ("a"',
    'n IN "a"',
    "n IN (x)",
    "n BETWEEN 1",
    "5 = n",
    '"a" IN tags',
    "lower(email) = 1",
    "EXISTS",
    "INCLUDE",
    "INCLUDE nobody",
    "AND (n = 5 NOT INCLUDE vips)",
    "n = 5 AND ok = true",
    "n = 5 /* no comment */",
    "n\n= 5",
    "n -- c\n= 5",
    "NOT\nn = 5",
    "* , n = 5",
    "IN (1)",
]


@pytest.mark.parametrize(
    "tail", ["", " FROM user", "\nFROM `user` LIMIT 7", " ALIAS x", " -- a comment", " ;"]
)
def test_a_condition_is_true_or_false_of_somebody(tail):
    for condition, expected in [*((text, True) for text in TRUE), *((text, False) for text in FALSE)]:
        found = parse(f"FILTER {condition}{tail}", audience_of("vips"))
        assert found.test(ADA) is expected, condition


@pytest.mark.parametrize("condition", REFUSED)
def test_what_lytics_does_not_read_or_its_index_does_not_answer_is_refused(condition):
    with pytest.raises(FilterError):
        parse(f"FILTER {condition} FROM user", audience_of("vips"))


@pytest.mark.parametrize(
    ("tail", "table", "limit"),
    [
        ("", "user", None),
        (" FROM content", "content", None),
        (" from 'user' limit 3", "user", 3),
        (" LIMIT 0", "user", None),
        (' FROM user LIMIT 2 WITH a = 1, b = "x" ALIAS `my own`', "user", 2),
        (" FROM user; FILTER * FROM content", "user", None),
        (" FROM user -- LIMIT 3", "user", None),
    ],
)  # fmt: skip
def test_clauses_follow_the_condition(tail, table, limit):
    found = parse(f"FILTER n = 5{tail}", audience_of())
    assert (found.table, found.limit) == (table, limit)


@pytest.mark.parametrize(
    "tail",
    [
        " FROM", ' FROM "user"', " FROM 2", " LIMIT", " LIMIT x", " LIMIT 2.5", " LIMIT -2", " ALIAS", " WITH a",
        " ALIAS x LIMIT 2", " LIMIT 2 FROM user", " WHERE n = 5",
    ],
)  # fmt: skip
def test_clauses_that_lytics_does_not_read_are_refused(tail):
    with pytest.raises(FilterError):
        parse(f"FILTER n = 5{tail}", audience_of())


@pytest.mark.parametrize(
    "text", ["", "filter", "FILTERn = 5", "SELECT * FROM user FILTER n = 5", "WHERE n = 5", "n = 5"]
)
def test_a_filter_begins_with_its_word(text):
    with pytest.raises(FilterError):
        parse(text, audience_of())


@pytest.mark.parametrize(
    "condition", ['n = "x"', "n != 5", "n > 1", "n BETWEEN 1 AND 9", "EXISTS n", 'n IN ("5")']
)
def test_a_condition_on_a_field_that_the_index_does_not_know_is_false_without_an_error(condition):
    def found(text):
        return parse(f"FILTER {text}", audience_of(), is_indexed=lambda name: name != "n").test(ADA)

    assert not found(condition)
    assert found(f"NOT {condition}")
    assert found(f"OR ({condition}, ok = true)")


def test_times_are_compared_as_times():
    profile = {"at": "2026-03-01T00:30:00.000000001+01:00"}
    for condition, expected in [
        ('at > "2026-02-28T23:30:00Z"', True),
        ('at < "2026-02-28T23:30:00.000000002Z"', True),
        ('at >= "2026-03-01"', False),
        ('at BETWEEN "2026-02-28" AND "2026-03-01"', True),
    ]:
        assert parse(f"FILTER {condition}", audience_of()).test(profile) is expected, condition


def test_a_dot_leads_into_a_map():
    profile = {"visits": {"web": 3}}
    found = parse(
        "FILTER AND (visits.web = 3, `visits.web` > 2)", audience_of(), is_indexed={"visits"}.__contains__
    )
    assert found.test(profile)
    assert not found.test({"visits": {}})


def test_a_refusal_is_a_400_that_repeats_the_question_from_its_middle_on(box):
    reply = lytics(box, "/api/segment/scan", 'FILTER email IN ("a@example.com", "ab\\") FROM user')
    assert reply.status_code == 400
    assert set(reply.json()) == {"data", "status", "message"}
    assert (reply.json()["data"], reply.json()["status"]) == (None, 400)
    assert reply.json()["message"].endswith('near: "ab\\") FROM user')


def test_an_audience_is_included_by_id_or_slug_and_not_by_its_name(box):
    audience = box.world.audience("vip_customers")
    for name in (audience.id, audience.slug):
        assert len(find(box, f"FILTER INCLUDE `{name}` FROM user")) == 13
    assert lytics(box, "/api/segment/scan", "FILTER INCLUDE `VIP Customers`").status_code == 400


def test_audiences_of_any_slug_are_included_in_backticks(make_box):
    slugs = ["2024", "-vip", "user id", "from", "a:b"]
    box = make_box([AudienceSpec(f"Audience {n}", n + 1, slug) for n, slug in enumerate(slugs)])
    for number, slug in enumerate(slugs):
        assert len(find(box, f"FILTER INCLUDE `{slug}` FROM user")) == number + 1


def test_a_filter_reads_the_table_that_it_names(box):
    assert len(find(box, "FILTER * FROM user")) == 13
    assert find(box, "FILTER * FROM content") == []
    assert find(box, "FILTER *", table="content") == []
    assert len(find(box, "FILTER * FROM user LIMIT 4")) == 4


def test_a_field_can_be_kept_out_of_the_index(box):
    address = next(iter(box.world.keys("vip_customers")))
    asked = f'FILTER email IN ("{address}") FROM user'
    assert len(find(box, asked)) == 1
    box.fault("field_unindexed", "email")
    assert find(box, asked) == []
    assert find(box, 'FILTER no_such_field = "x" FROM user') == []
