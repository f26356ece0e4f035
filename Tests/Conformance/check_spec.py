"""Checks that protocol/ is whole and agrees with itself: schemas, examples, OpenAPI, AsyncAPI, lists, clauses and cases.

    pip install -r requirements.txt && python3 check_spec.py
"""
import json
import re
import sys
import zlib
from datetime import datetime, timezone

import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate as validate_openapi
from referencing import Registry, Resource

from cases import BASE62, PROTOCOL, Expander, body, differences, events, key, client_suite, suites

problems = []


def expect(holds, words):
    if not holds:
        problems.append(words)


def load(path):
    return json.loads((PROTOCOL / path).read_text("utf-8"))


SCHEMAS = {path.name: json.loads(path.read_text("utf-8")) for path in sorted((PROTOCOL / "v1").glob("*.schema.json"))}
REGISTRY = Registry().with_resources([(name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()])
REASONS = {reason["code"]: reason for reason in load("reasons.json")["reasons"]}
CODES = {code["code"]: code for code in load("codes.json")["codes"]}
README = (PROTOCOL / "README.md").read_text("utf-8")


def faults(schema, value):
    return [error.message for error in Draft202012Validator(schema, registry=REGISTRY).iter_errors(value)]


def check_schemas():
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            expect(not (found := faults({"$ref": name}, example)), f"{name}: its example does not validate: {found}")
        expect("examples" in schema or "$defs" in schema, f"{name} has no example")
        check_fields(name, name, schema)


def check_fields(file, path, schema):
    """Every field has a description and examples, and the examples are valid."""
    for name, field in (schema.get("properties", {}) | schema.get("$defs", {})).items():
        here = f"{path}.{name}"
        expect(field.get("description") and field.get("examples"), f"{here} needs a description and an example")
        for example in field.get("examples", []):
            # Pointed to rather than handed over: relative references in the field then start from its file.
            pointer = {"$ref": file + pointer_to(file, here)}
            expect(not (found := faults(pointer, example)), f"{here}: example {example!r} does not validate: {found}")
        check_fields(file, here, field)


def pointer_to(file, path):
    pointer, schema = "#", SCHEMAS[file]
    for name in path.removeprefix(file + ".").split("."):
        part = "$defs" if name in schema.get("$defs", {}) else "properties"
        pointer, schema = f"{pointer}/{part}/{name}", schema[part][name]
    return pointer


def check_lists():
    bands = {"stay_away": range(4000, 4100), "back_off": [*range(1000, 1016), *range(4100, 4200)], "reconnect": range(4200, 4300), "open": [0]}
    for number, code in CODES.items():
        expect(number in bands[code["band"]], f"close code {number} does not lie in band {code['band']}")
        expect(number == 0 or f"| {number} | `{code['name']}` | {code['next']} | {code['meaning']} |" in README, f"README.md tells something else of close code {number}")
    verdicts = SCHEMAS["common.schema.json"]["$defs"]["verdict"]["enum"]
    for name, reason in REASONS.items():
        expect(reason["closeCode"] is None or reason["closeCode"] in CODES, f"{name} names an unknown close code")
        expect(set(reason["verdicts"]) <= set(verdicts), f"{name} names an unknown verdict")
        expect(re.search(rf"^\| `{name}` \|.*\| {re.escape(reason['meaning'])} \| {re.escape(reason['remedy'])} \|$", README, re.M), f"README.md tells something else of {name}")
    expect(len(REASONS) == len(load("reasons.json")["reasons"]) and len(CODES) == len(load("codes.json")["codes"]), "a list names something twice")


def check_descriptions():
    openapi = yaml.safe_load((PROTOCOL / "openapi.yaml").read_text("utf-8"))
    validate_openapi(openapi, base_uri=(PROTOCOL / "openapi.yaml").as_uri())
    check_references("openapi.yaml", openapi, openapi)
    for name in re.findall(r"`?(?:GET|POST) (/v1/[a-z/]+)", README):
        expect(name in openapi["paths"], f"README.md speaks of {name}, openapi.yaml does not")
    asyncapi = yaml.safe_load((PROTOCOL / "asyncapi.yaml").read_text("utf-8"))
    expect(asyncapi["asyncapi"].startswith("3.") and {"title", "version"} <= set(asyncapi["info"]), "asyncapi.yaml is not AsyncAPI 3")
    check_references("asyncapi.yaml", asyncapi, asyncapi)
    messages = asyncapi["channels"]["socket"]["messages"]
    spoken = {message["$ref"].rsplit("/", 1)[1] for operation in asyncapi["operations"].values() for message in operation["messages"]}
    expect(spoken == set(messages) == set(asyncapi["components"]["messages"]), "asyncapi.yaml: a message is in no operation, or the reverse")
    frames = {message["payload"]["$ref"].removeprefix("v1/") for message in asyncapi["components"]["messages"].values()}
    expect(frames == {name for name in SCHEMAS if name.startswith("frame-")}, "asyncapi.yaml and v1/ do not have the same frames")


def check_references(file, document, node):
    if isinstance(node, list):
        for element in node:
            check_references(file, document, element)
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            where, _, pointer = reference.partition("#")
            target = SCHEMAS.get(where.removeprefix("v1/")) if where else document
            for part in pointer.strip("/").split("/") if pointer else []:
                target = (target or {}).get(part.replace("~1", "/").replace("~0", "~"))
            expect(target is not None, f"{file}: {reference} leads nowhere")
        for value in node.values():
            check_references(file, document, value)


def check_clauses():
    clauses = re.findall(r"\*\*(P-[A-Z]+-\d+)\*\*", README)
    expect(len(clauses) == len(set(clauses)), "README.md uses the name of a clause twice")
    for mention in re.findall(r"\((P-[A-Z]+-\d+)\)", README):
        expect(mention in clauses, f"README.md points to {mention}, which is not there")
    return set(clauses)


CASE = {"name", "clause", "lane", "transports", "given", "input", "raw", "rawBase64", "contentType", "contentEncoding", "key", "keyIn", "origin", "request", "verdicts", "error", "then"}
SCRIPT = {"name", "clause", "needs", "with", "key", "lane", "origin", "subprotocols", "steps"}


def check_cases(clauses):
    for suite in suites():
        names = [case["name"] for case in suite["cases"]]
        expect(len(names) == len(set(names)), f"{suite['suite']} has two cases of the same name")
        for case in suite["cases"]:
            here = f"{suite['suite']}: {case['name']}"
            expect(set(case) <= (SCRIPT if "steps" in case else CASE), f"{here}: unknown fields {set(case) - SCRIPT - CASE}")
            expect(case["clause"] in clauses, f"{here}: there is no clause {case['clause']}")
            (check_script if "steps" in case else check_case)(here, case)


def check_case(here, case):
    expander = Expander()
    sent = body(case, expander)
    expect("${" not in sent.decode("utf-8", "replace"), f"{here}: a placeholder is left")
    expect(case["lane"] in ("public", "secret") and set(case["transports"]) <= {"http", "beacon", "socket"}, f"{here}: unknown lane or transport")
    expect("socket" not in case["transports"] or "input" in case and "error" not in case, f"{here}: the socket needs input and verdicts")
    expect(("error" in case) != ("verdicts" in case), f"{here}: either verdicts or an error")
    if "error" in case:
        expect(REASONS.get(case["error"]["code"], {}).get("httpStatus") == case["error"]["status"], f"{here}: reasons.json has no such error")
    for verdict in case.get("verdicts", []):
        allowed = verdict["verdict"] in REASONS.get(verdict["reason"], {}).get("verdicts", []) if "reason" in verdict else verdict["verdict"] in ("stored", "duplicate")
        expect(allowed, f"{here}: reasons.json does not allow {verdict}")
    if "input" in case and "verdicts" in case:
        wanted, got = expander.expand(case["verdicts"]), events(expander.expand(case["input"]))
        expect(len(wanted) == len(got), f"{here}: {len(got)} events, {len(wanted)} verdicts")
        for verdict, event in zip(wanted, got):
            check_event(here, verdict, event)


def check_event(here, verdict, event):
    """The schemas and the cases agree on what a good event is. Null counts as absent, but for thumb."""
    if not isinstance(event, dict):
        return
    expect(verdict.get("id", event.get("id")) == event.get("id"), f"{here}: the verdict names another event")
    found = faults({"$ref": "any-event.schema.json"}, {name: value for name, value in event.items() if value is not None or name == "thumb"})
    if verdict["verdict"] in ("stored", "duplicate", "conflict"):
        expect(not found, f"{here}: the schemas refuse what the case takes: {found}")
    elif verdict["reason"] in ("missing_field", "invalid_field"):
        expect(found, f"{here}: the schemas take what the case refuses for {verdict['field']}")


def check_script(here, case):
    expander, names = Expander(), {code["name"] for code in CODES.values()} | set(REASONS)
    expect(set(case.get("needs", [])) <= {"server", "clock", "settings", "host"}, f"{here}: unknown needs")
    for step in case["steps"]:
        expect(len(step) == 1 and set(step) <= {"client", "server", "close", "reconnect", "host"}, f"{here}: unknown step {step}")
        expect("close" not in step or step["close"] in CODES, f"{here}: codes.json has no {step}")
        needs = "clock" if "advanceMs" in step.get("client", {}) else "host" if "host" in step else None
        expect(needs is None or needs in case["needs"], f"{here}: needs {needs}")
        for frame in step.values():
            if isinstance(frame, dict) and frame.get("type") == "error":
                expect(frame["code"] in CODES and frame["name"] in names, f"{here}: no such error {frame}")
            for result in frame.get("results", []) if isinstance(frame, dict) and isinstance(frame.get("results"), list) else []:
                expect(result["verdict"] == "duplicate" or result["verdict"] in REASONS[result["reason"]]["verdicts"], f"{here}: reasons.json does not allow {result}")
        expander.expand(step)


# Each step of a client's case, with the words that may stand beside it.
CLIENT_STEPS = {
    "track": {"as", "times"}, "stream": {"as"}, "append": {"to"}, "end": set(), "beforeSend": set(), "sent": set(), "same": set(), "fields": set(), "report": set(),
    "answer": set(), "lost": set(), "refused": set(), "refuseToConnect": set(), "advanceMs": set(), "quiet": set(), "heard": set(), "asked": set(),
}


def check_client_cases(clauses):
    cases = client_suite()["cases"]
    expect(len({case["name"] for case in cases}) == len(cases), "client has two cases of the same name")
    for case in cases:
        here, known = f"client: {case['name']}", set()
        expect(set(case) - {"receipts"} == {"name", "clause", "steps"}, f"{here}: unknown fields")
        expect(case["clause"] in clauses, f"{here}: there is no clause {case['clause']}")
        for step in case["steps"]:
            words = [word for word in CLIENT_STEPS if word in step]
            expect(len(words) == 1 and set(step) <= {words[0]} | CLIENT_STEPS[words[0]], f"{here}: unknown step {step}")
            if "as" in step:
                known |= {step["as"]} | {f"{step['as']}{number}" for number in range(3)}
            named = step.get("sent", []) + step.get("same", []) + [line[0] for line in step.get("heard", [])] + list(step.get("fields", {})) + [step[word] for word in ("to", "end") if word in step]
            expect(all(name in known or name == "..." or name.startswith("<") for name in named), f"{here}: {named} names what is not there")
            if "refused" in step:
                expect(REASONS[step["refused"]["code"]]["httpStatus"] == step["refused"]["status"], f"{here}: reasons.json has no such error")
            for result in step["answer"] if isinstance(step.get("answer"), list) else []:
                expect(result["verdict"] in ("stored", "duplicate") or result["verdict"] in REASONS[result["reason"]]["verdicts"], f"{here}: reasons.json does not allow {result}")


def check_expander():
    """The tool that reads the cases does what their description says."""
    now = datetime(2026, 11, 21, 2, 51, 10, 887000, timezone.utc)
    expander = Expander(now)
    text = expander.text
    expect(text("${uuid:a}") == text("${uuid:a}") != text("${uuid:b}") and Expander().text("${uuid:a}") != text("${uuid:a}"), "a placeholder keeps its value, for one run")
    expect(text("${now}") == "2026-11-21T02:51:10.887Z" and text("${now:-70.887}") == "2026-11-21T02:50:00.000Z", "now")
    expect(expander.expand("${nowMs:1}") == 1795229471887 and expander.expand("at ${nowMs}") == "at 1795229470887", "nowMs is a number where it stands alone")
    expect(text("${repeat:3:ab}[${repeat:2:[}${repeat:2:]}]") == "ababab[[[]]]", "repeat")
    expect(expander.expand([{"$repeat": 2, "of": {"id": "${short:e${i}}", "n": "${i}"}}, 7]) == [{"id": text("${short:e0}"), "n": "0"}, {"id": text("${short:e1}"), "n": "1"}, 7], "$repeat")
    expect(expander.expand({"$keys": 3}) == {"k0": 0, "k1": 0, "k2": 0} and expander.expand("${any}") == "${any}", "$keys, matchers")
    expect(re.fullmatch(r"7\d{19}", text("${digits:20:a}")) and re.fullmatch(r"f[0-9a-f]{15}", text("${hex:16:a}")) and re.fullmatch(r"z[0-9A-Za-z]{10}", text("${alnum:11:a}")), "alphabets")

    def checksum_holds(candidate):
        value = 0
        for character in candidate[-6:]:
            value = value * 62 + BASE62.index(character)
        return len(candidate) == 31 and value == zlib.crc32(candidate[:-6].encode())
    expect(checksum_holds(key()) and checksum_holds(text("${publicKey:unknown}")) and not checksum_holds(text("${publicKey:misspelt}")), "keys")
    expect(not differences({"a": [1, {"b": "${any}"}], "c": "${absent}", "t": "${about:0}"}, {"a": [1, {"b": 2, "x": 3}], "t": "2026-11-21T02:51:40.000Z"}, now=now), "what is as expected")
    for expected, got in (({"a": 1}, {}), ({"a": "${absent}"}, {"a": None}), ([1], [1, 2]), (1, True), ({"a": None}, {"a": 0}), ("${about:0}", "2026-11-21T03:51:10Z"), ("${about:0}", None)):
        expect(differences(expected, got, now=now), f"{got} should not pass for {expected}")
    sizes = [len(body(case, Expander())) for suite in suites() for case in suite["cases"] if case["name"].endswith("64 KiB is stored") or case["name"].endswith("over 64 KiB is dropped")]
    expect(sizes == [65536, 65537], f"the cases at the edge of 64 KiB have {sizes} bytes")


if __name__ == "__main__":
    check_expander()
    check_schemas()
    check_lists()
    check_descriptions()
    clauses = check_clauses()
    check_cases(clauses)
    check_client_cases(clauses)
    for problem in problems:
        print(problem)
    total = sum(len(suite["cases"]) for suite in suites())
    print(f"{len(SCHEMAS)} schemas, {len(REASONS)} reasons, {len(CODES)} close codes, {total} cases: " + (f"{len(problems)} problems" if problems else "all of one mind"))
    sys.exit(bool(problems))
