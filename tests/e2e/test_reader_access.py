"""Who may read what of a reader that has access on, with tokens of `daybook tokens` and JWTs that OpenSSL signs."""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import time
import uuid
from types import SimpleNamespace

import pytest
from harness import wait_until
from readers import SHELVES, EventStream, Reader, own_site

OWN, OTHER, NOWHERE = (str(uuid.UUID(int=number)) for number in (0xA1, 0xA2, 0xA3))
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03"]
SECRET = b"an HS256 secret of these tests: 32+"


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


class Signer:
    """Keys of all three kinds, their JWKS file, and the tokens that they sign."""

    def __init__(self, folder):
        self.rsa, self.ec = folder / "rsa.pem", folder / "ec.pem"
        openssl("genrsa", "-out", str(self.rsa), "2048")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.ec))
        modulus = bytes.fromhex(openssl("rsa", "-in", str(self.rsa), "-noout", "-modulus").decode().strip().partition("=")[2])
        point = openssl("ec", "-in", str(self.ec), "-pubout", "-outform", "DER")[-64:]
        self.file = folder / "jwks.json"
        self.file.write_text(json.dumps({"keys": [
            {"kty": "oct", "kid": "h", "alg": "HS256", "k": encoded(SECRET)},
            {"kty": "RSA", "kid": "r", "alg": "RS256", "n": encoded(modulus), "e": "AQAB"},
            {"kty": "EC", "kid": "e", "alg": "ES256", "crv": "P-256", "x": encoded(point[:32]), "y": encoded(point[32:])}]}))
        self.file.chmod(0o600)
        self.public = openssl("rsa", "-in", str(self.rsa), "-pubout")
        self.made = []

    def sign(self, algorithm, message):
        if algorithm == "HS256":
            return hmac.new(SECRET, message, hashlib.sha256).digest()
        if algorithm == "RS256":
            return openssl("dgst", "-sha256", "-sign", str(self.rsa), stdin=message)
        der = openssl("dgst", "-sha256", "-sign", str(self.ec), stdin=message)
        parts, at = [], 2
        for _ in range(2):  # r and s as DER integers; the token has 32 bytes of each
            size = der[at + 1]
            parts.append(der[at + 2 : at + 2 + size].lstrip(b"\0").rjust(32, b"\0"))
            at += 2 + size
        return b"".join(parts)

    def jwt(self, algorithm="HS256", header={}, signature=None, **claims):
        kid = {"HS256": "h", "RS256": "r", "ES256": "e"}.get(algorithm, "h")
        claims = {"iss": "https://sign.in", "aud": "daybook", "sub": "someone", "exp": int(time.time()) + 600, "scope": "views:read rows:all"} | claims
        parts = [{"alg": algorithm, "kid": kid} | header, {name: value for name, value in claims.items() if value is not None}]
        message = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        token = message + "." + encoded(self.sign(algorithm, message.encode()) if signature is None else signature(message.encode()))
        self.made.append(token)
        return token


@pytest.fixture(scope="module")
def stage(services, tmp_path_factory):
    with own_site(services, tmp_path_factory.mktemp("access")) as site:
        days, shelves = site.add_view(), site.add_view(SHELVES)
        for facility in (OWN, OTHER):
            for day in DAYS:
                site.stock(facility, day, 5)
        site.shelve("plain", 7, 70)
        file = site.folder / "tokens.json"
        tokens = {}

        def add(name, *scopes, **more):
            words = [word for scope in scopes for word in ("--scope", scope)] + [word for claim, value in more.items() for word in ("--" + claim, value)]
            tokens[name] = site.daybook.run("tokens", "new", "--name", name, *words, "--file", file).stdout.strip()

        add("all", "views:read", "rows:all")
        add("days", f"views:read:{days.name}", "rows:all")
        add("own", "views:read", claim=f"facility_id={OWN}")
        add("none", "views:read")
        add("admin", "admin")
        add("admin-own", "admin", "views:read", claim=f"facility_id={OWN}")
        add("late", "views:read", "rows:all", expires="2020-01-01")
        assert "7 tokens, 1 expired" in site.daybook.run("tokens", "check", file).stdout
        signer = Signer(site.folder)
        reader = Reader(site.daybook, "--tokens", file, "--jwks", signer.file, "--jwt-issuer", "https://sign.in", "--jwt-audience", "daybook")
        site.settle(days, shelves)
        reader.wait_until_ready()

        def ask(token, target, headers={}, method="GET"):
            word = tokens.get(token, token)
            return reader.get(target, ({"Authorization": f"Bearer {word}"} if word else {}) | headers, method)

        after = "&".join(f"after={partition}@{offset}" for partition, offset in site.positions.items())
        for view in (days, shelves):
            wait_until(lambda: ask("all", f"/v1/views/{view.name}?{after}")[0] == 200, "the reader has all")
        yield SimpleNamespace(site=site, days=days, shelves=shelves, reader=reader, tokens=tokens, file=file, signer=signer, ask=ask,
                              row=f"/v1/views/{days.name}/{{}}/{DAYS[0]}".format)


def plain(answer):
    """An answer without what differs between any two."""
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name not in ("date", "daybook-age")}, body


def challenge(answer):
    status, headers, body = answer
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    return headers["www-authenticate"]


def test_nobody_listens_elsewhere_without_access(daybook, tmp_path):
    """On an address of documentation (RFC 5737), which no machine has: what comes behind the refusal is that it can't be bound."""
    daybook.run("migrate")
    refused = daybook.run("reader", "--listen", "192.0.2.1:0", status=2).stderr
    assert "reachable from other machines" in refused and "--anywhere" in refused and "--tokens" in refused
    daybook.run("tokens", "new", "--name", "a", "--scope", "admin", "--file", tmp_path / "tokens.json")
    for allowed in (["--anywhere"], ["--tokens", tmp_path / "tokens.json"]):
        assert "can't listen on 192.0.2.1" in daybook.run("reader", "--listen", "192.0.2.1:0", *allowed, status=2).stderr
    for address in ("0.0.0.0:0", "[::]:0"):
        assert "reachable from other machines" in daybook.run("reader", "--listen", address, status=2).stderr
    assert "can't" in daybook.run("reader", "--tokens", tmp_path / "none.json", status=2).stderr


def test_no_token_and_wrong_ones(stage):
    for target in (stage.row(OWN), f"/v1/views/{stage.days.name}", "/v1/views", "/openapi.json", "/v1/views/none", "/dashboard",
                   f"/v1/views/{stage.days.name}/changes", "/api/admin/cache/stats", "/nothing"):
        assert challenge(stage.ask(None, target)) == 'Bearer realm="daybook"', target
        for wrong in ("daybook_" + "A" * 43, stage.tokens["all"][:-1], stage.tokens["all"] + "A", "late"):
            assert 'error="invalid_token"' in challenge(stage.ask(wrong, target)), target
    assert "expired" in challenge(stage.ask("late", "/v1/views"))
    for scheme in ("Basic dTpw", "Bearer", "Bearer a b", stage.tokens["all"]):
        assert challenge(stage.reader.get("/v1/views", {"Authorization": scheme}))
    assert stage.reader.get("/v1/views", {"Authorization": "bEARER " + stage.tokens["all"]})[0] == 200
    assert challenge(stage.reader.get(f"/v1/views?access_token={stage.tokens['all']}"))


def test_scopes_by_view(stage):
    days, shelves = f"/v1/views/{stage.days.name}", f"/v1/views/{stage.shelves.name}"

    def seen(token):
        document = json.loads(stage.ask(token, "/openapi.json")[2])
        views = [view["name"] for view in json.loads(stage.ask(token, "/v1/views")[2])["views"]]
        assert {name for name in document["components"]["schemas"] if not name.startswith("_")} == set(views)
        return views

    assert seen("all") == [stage.days.name, stage.shelves.name] and seen("days") == [stage.days.name] and seen("admin") == []
    assert stage.ask("days", stage.row(OWN))[0] == stage.ask("days", days)[0] == 200
    for behind in ("", "/plain/7", "/plain/8", "/plain/x", "/plain", "/changes", "?limit=1", "?surprise"):
        forbidden = stage.ask("days", shelves + behind)
        unknown = stage.ask("days", "/v1/views/shelves_00000000" + behind)
        assert forbidden[0] == 404 and forbidden[2].replace(stage.shelves.name.encode(), b"shelves_00000000") == unknown[2]
        assert plain(forbidden)[1].keys() == plain(unknown)[1].keys()
        assert stage.ask("admin", shelves + behind)[0] == 403
        assert stage.ask("admin", "/v1/views/shelves_00000000" + behind)[0] == 404
    assert plain(stage.ask("days", "/shelves/plain/7")) == plain(stage.ask("days", "/nothing/plain/7"))
    assert stage.ask("all", "/shelves/plain/7")[0] == 200


def test_rows_by_claim(stage):
    days = f"/v1/views/{stage.days.name}"
    status, headers, body = stage.ask("own", stage.row(OWN))
    assert (status, headers["cache-control"], body) == (200, "private, no-cache", stage.ask("all", stage.row(OWN))[2])
    foreign = stage.ask("all", stage.row(OTHER))
    assert foreign[0] == 200
    # A row that one may not see, one that is nowhere, and a carried one: the same bytes, whatever is asked of them.
    carried = f"{days}/{OTHER}/2026-03-09"
    assert stage.ask("all", carried)[0] == 200
    for more in ({}, {"If-None-Match": foreign[1]["etag"]}, {"If-None-Match": "*"}, {"Accept": "text/csv"}):
        for method in ("GET", "HEAD"):
            absent = plain(stage.ask("own", stage.row(NOWHERE), more, method))
            assert absent[0] == 404 and "etag" not in absent[1]
            assert plain(stage.ask("own", stage.row(OTHER), more, method)) == absent
            assert plain(stage.ask("own", carried, more, method)) == absent
            assert plain(stage.ask("own", f"/dashboard/{OTHER}/{DAYS[0]}", more, method)) == absent
    assert stage.ask("none", stage.row(OWN))[0] == 404
    for facility in (OTHER, NOWHERE):
        assert stage.ask("admin-own", stage.row(facility))[0] == 403

    def rows(token, query=""):
        status, headers, body = stage.ask(token, days + query)
        assert status == 200 and headers["cache-control"] == "private, no-cache"
        return [(row["facility_id"], row["date"]) for row in json.loads(body)["rows"]]

    both = [(facility, day) for day in reversed(DAYS) for facility in (OTHER, OWN)]
    mine = [(OWN, day) for day in reversed(DAYS)]
    assert rows("all") == both and rows("own") == rows("own", f"?facility_id={OWN}&facility_id={OTHER}") == mine
    assert rows("own", f"?facility_id={OTHER}") == rows("none") == rows("none", f"?facility_id={OWN}") == []
    assert json.loads(stage.ask("own", f"/dashboard/{OTHER}")[2])["rows"] == []
    assert stage.ask("own", days, {"Accept": "text/csv"})[2].count(OWN.encode()) == 3
    assert OTHER.encode() not in stage.ask("own", days, {"Accept": "text/csv"})[2]
    assert stage.ask("own", days)[1]["etag"] != stage.ask("all", days)[1]["etag"]
    # A cursor of somebody who sees more does not open more.
    link = stage.ask("all", days + "?limit=1")[1]["link"][1:].partition(">")[0]
    assert stage.ask("all", link)[0] == 200 and stage.ask("own", link)[0] == 400


def test_changes_by_claim(stage):
    changes = f"/v1/views/{stage.days.name}/changes"
    reader = Reader(stage.site.daybook, "--tokens", stage.file)
    reader.wait_until_ready()

    def follow(token, query=""):
        stream = EventStream(reader, changes + query, {"Authorization": f"Bearer {stage.tokens[token]}"})
        assert stream.status == 200
        return stream

    streams = {"own": follow("own"), "asked": follow("own", f"?facility_id={OTHER}&facility_id={OWN}"), "all": follow("all")}
    blind = [follow("none"), follow("own", f"?facility_id={OTHER}")]
    for stream in (*streams.values(), *blind):
        stream.next(lambda event: event.get("event") == "reset")
    for facility in (OTHER, OWN, OTHER, OWN):
        stage.site.stock(facility, "2026-04-01", 1)
        stage.site.settle(stage.days)
    for name, stream in streams.items():
        told = [stream.row() for _ in range(4 if name == "all" else 2)]
        assert [row["facility_id"] for row in told] == ([OTHER, OWN] * 2 if name == "all" else [OWN] * 2)
    # Those who see nothing got nothing until the end, which comes with all that was written.
    assert reader.process.terminate() == 0
    assert [stream.response.read() for stream in blind] == [b"", b""]


def test_json_web_tokens(stage):
    sign = stage.signer.jwt
    days = f"/v1/views/{stage.days.name}"
    for algorithm in ("HS256", "RS256", "ES256"):
        good = sign(algorithm)
        for _ in range(2):  # the second time it is a remembered one
            assert stage.ask(good, stage.row(OWN))[0] == 200, algorithm
        head, body, signature = good.split(".")
        other = encoded(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).replace(b"someone", b"anybody"))
        flipped = ("A" if signature[5] != "A" else "B").join([signature[:5], signature[6:]])
        for wrong in (f"{head}.{other}.{signature}", f"{head}.{body}.{flipped}", f"{head}.{body}.", f"{head}.{body}", good + "A", good + "=", "." + good):
            assert 'error="invalid_token"' in challenge(stage.ask(wrong, stage.row(OWN))), wrong
    claims = {"facility_id": [OWN], "scope": "views:read"}
    assert [stage.ask(sign(**claims), stage.row(facility))[0] for facility in (OWN, OTHER)] == [200, 404]
    assert {row["facility_id"] for row in json.loads(stage.ask(sign(**claims), days)[2])["rows"]} == {OWN}
    assert stage.ask(sign(scope=None, scp=["views:read"], permissions=["rows:all"]), stage.row(OTHER))[0] == 200
    assert stage.ask(sign(scope=f"views:read:{stage.shelves.name}"), days)[0] == 404
    assert stage.ask(sign(scope="admin"), "/api/admin/cache/stats")[0] == 200
    now = int(time.time())
    for wrong, told in [
        (dict(exp=now - 60), "expired"), (dict(exp=None), ""), (dict(nbf=now + 600), "not valid yet"), (dict(aud="another"), "audience"),
        (dict(aud=None), "audience"), (dict(iss="https://elsewhere"), ""), (dict(iat=now + 600), ""),
    ]:
        refused = challenge(stage.ask(sign(**wrong), stage.row(OWN)))
        assert 'error="invalid_token"' in refused and told in refused, (wrong, refused)
    assert stage.ask(sign(exp=now - 5), stage.row(OWN))[0] == 200  # within the leeway
    # No algorithm, another one than the key's, the public key as an HMAC secret, a critical header, another key's name.
    nothing = lambda message: b""
    by_public = lambda message: hmac.new(stage.signer.public, message, hashlib.sha256).digest()
    for wrong in [
        sign("none", signature=nothing), sign("none", {"kid": "r"}, nothing), sign("None", signature=nothing),
        sign("HS256", {"alg": "none"}), sign("HS256", {"alg": "HS512"}), sign("HS256", {"kid": "r"}, by_public),
        sign("RS256", {"kid": "h"}), sign("RS256", {"kid": "x"}), sign("HS256", {"crit": ["exp"]}), sign("HS256", {"kid": None}),
    ]:
        assert 'error="invalid_token"' in challenge(stage.ask(wrong, stage.row(OWN))), wrong


def test_administration_has_its_own_scope(stage):
    view, columns = stage.days.name, f"{OWN}/{DAYS[0]}"
    invalidate = f"/api/admin/cache/invalidate/{view}/{columns}"
    for target, method in [("/api/admin/cache/stats", "GET"), ("/api/admin/cache/clear", "POST"), (invalidate, "POST"),
                           ("/api/admin/log-level", "GET"), ("/api/admin/log-level?level=debug", "POST"), ("/api/admin/nothing", "GET")]:
        for token in ("all", "own"):
            status, headers, body = stage.ask(token, target, method=method)
            assert status == 403 and json.loads(body)["status"] == 403, (target, body)
        assert challenge(stage.ask(None, target, method=method))

    def stats():
        status, _, body = stage.ask("admin", "/api/admin/cache/stats")
        assert status == 200
        return next(own for own in json.loads(body)["views"] if own["view"] == view)

    def misses_of_a_read():
        before = stats()["misses"]
        assert stage.ask("all", stage.row(OWN))[0] == 200
        return stats()["misses"] - before

    stage.ask("all", stage.row(OWN))
    assert misses_of_a_read() == 0
    assert json.loads(stage.ask("admin", invalidate, method="POST")[2]) == {"invalidated": True}
    assert json.loads(stage.ask("admin", invalidate, method="POST")[2]) == {"invalidated": False}
    assert misses_of_a_read() == 1 and misses_of_a_read() == 0
    assert stats()["cache_size"] > 0
    assert stage.ask("admin", "/api/admin/cache/clear", method="POST")[0] == 200
    assert stats()["cache_size"] == 0 and misses_of_a_read() == 1 and stats()["cache_size"] == 1
    for wrong, status in [(f"/api/admin/cache/invalidate/none/{columns}", 404), (f"/api/admin/cache/invalidate/{view}/{OWN}", 400),
                          (f"/api/admin/cache/invalidate/{view}/x/{DAYS[0]}", 400), ("/api/admin/log-level?level=loud", 400),
                          ("/api/admin/log-level?level=off", 400)]:
        assert stage.ask("admin", wrong, method="POST")[0] == status, wrong
    for target in (invalidate, "/api/admin/cache/clear"):
        status, headers, _ = stage.ask("admin", target)
        assert (status, headers["allow"]) == (405, "POST")
    for level in ("debug", "warning", "info"):
        assert stage.ask("admin", f"/api/admin/log-level?level={level}", method="POST")[0] == 200
        assert json.loads(stage.ask("admin", "/api/admin/log-level")[2]) == {"level": level}
    stage.ask("admin", "/api/admin/log-level?level=warning", method="POST")
    stage.ask("admin", "/api/admin/cache/clear", method="POST")
    stage.ask("admin", "/api/admin/log-level?level=info", method="POST")
    assert stage.reader.process.output().count("cleared the cache") == 1  # the second one was below the level


def test_tokens_come_and_go_while_it_runs(stage):
    new = stage.site.daybook.run("tokens", "new", "--name", "new", "--scope", "views:read", "--scope", "rows:all", "--file", stage.file).stdout.strip()
    wait_until(lambda: stage.ask(new, stage.row(OWN))[0] == 200, "the new token is taken")
    document = json.loads(stage.file.read_text())
    right = stage.file.read_text()
    stage.file.write_text("{")
    wait_until(lambda: "changed and is not right" in (stage.ask(new, "/v1/views"), stage.reader.process.output())[1], "the mistake is in the log")
    assert stage.ask(new, stage.row(OWN))[0] == 200
    next(entry for entry in document["tokens"] if entry["name"] == "new")["disabled"] = True
    stage.file.write_text(json.dumps(document))
    wait_until(lambda: stage.ask(new, stage.row(OWN))[0] == 401, "the disabled token is refused")
    assert stage.ask("all", stage.row(OWN))[0] == 200 and new not in right
    stage.tokens["new"] = new


def test_a_stream_does_not_outlive_its_token(stage):
    """JWTs that end while they are used, an API token that is taken away: their streams end, the others go on."""
    changes = f"/v1/views/{stage.days.name}/changes"
    made = stage.site.daybook.run("tokens", "new", "--name", "short", "--scope", "views:read", "--scope", "rows:all", "--file", stage.file).stdout.strip()
    stage.tokens["short"] = made
    wait_until(lambda: stage.ask("short", stage.row(OWN))[0] == 200, "the new token is taken")
    now = int(time.time())
    tokens = {"gone": made, "ends": stage.signer.jwt(exp=now - 30 + 8), "lasts": stage.signer.jwt(), "api": stage.tokens["all"]}  # a leeway of 30 s
    streams = {name: EventStream(stage.reader, changes, {"Authorization": f"Bearer {token}"}) for name, token in tokens.items()}
    for stream in streams.values():
        assert stream.status == 200
        stream.next(lambda event: event.get("event") == "reset")
    streams["ends"].response.read()
    assert now + 8 <= time.time() <= now + 8 + 10
    document = json.loads(stage.file.read_text())
    document["tokens"] = [entry for entry in document["tokens"] if entry["name"] != "short"]
    stage.file.write_text(json.dumps(document))
    began = time.monotonic()
    streams["gone"].response.read()
    assert time.monotonic() - began < 10
    assert 'error="invalid_token"' in challenge(stage.ask("short", changes))
    stage.site.stock(OWN, "2026-04-02", 1)
    stage.site.settle(stage.days)
    for name in ("lasts", "api"):
        assert streams[name].row()["date"] == "2026-04-02"
        streams[name].close()


def test_limits(stage, tmp_path):
    limits = tmp_path / "limits.json"
    limits.write_text(json.dumps({"policies": [
        {"name": "address", "by": "address", "limit": 6, "window": 3600, "burst": 30},
        {"name": "user", "by": "token", "limit": 60, "window": 3600, "burst": 5},
        {"name": "user-admin", "by": "token", "limit": 60, "window": 3600, "burst": 2, "paths": ["/api/admin"]}]}))
    limits.chmod(0o600)
    reader = Reader(stage.site.daybook, "--tokens", stage.file, "--limits", limits)
    reader.wait_until_ready()  # and health is not limited

    def ask(token, target="/v1/views"):
        return reader.get(target, {"Authorization": f"Bearer {stage.tokens[token]}"})

    for left in (4, 3, 2, 1, 0):
        status, headers, _ = ask("all")
        assert status == 200
        assert headers["ratelimit-policy"] == '"address";q=6;w=3600, "user";q=60;w=3600'
        assert re.fullmatch(rf'"address";r=\d+;t=\d+, "user";r={left};t=\d+', headers["ratelimit"]), headers["ratelimit"]
    status, headers, body = ask("all")
    assert (status, headers["content-type"]) == (429, "application/problem+json") and '"user"' in json.loads(body)["detail"]
    assert 0 < int(headers["retry-after"]) <= 60 and f'"user";r=0;t={headers["retry-after"]}' in headers["ratelimit"]
    assert ask("own")[0] == 200  # another one has its own
    assert [ask("admin", "/api/admin/cache/stats")[0] for _ in range(3)] == [200, 200, 429]
    assert ask("admin")[0] == 200  # by the other policy there is room
    # By address, also without a token: who guesses is limited, too.
    answers = [reader.get("/v1/views", {"Authorization": "Bearer daybook_" + "A" * 43}) for _ in range(30)]
    assert [answer[0] for answer in answers] == [401] * 19 + [429] * 11
    assert '"address"' in json.loads(answers[-1][2])["detail"] and 0 < int(answers[-1][1]["retry-after"]) <= 600
    assert reader.get("/livez")[0] == 200


def test_no_token_is_in_any_log(stage):
    """Last: of all that was asked above."""
    logs = "".join(process.output() for process in stage.site.daybook.processes)
    assert "access: refused 127.0.0.1" in logs and "over the limit" in logs
    for token in stage.tokens.values():
        assert token not in logs and token[8:24] not in logs
        assert hashlib.sha256(token.encode()).hexdigest() not in logs
    for token in stage.signer.made:
        for part in token.split("."):
            assert len(part) < 20 or part not in logs
