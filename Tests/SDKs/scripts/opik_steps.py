"""What a backend does with the unmodified opik SDK, one step a process: `opik_steps.py STEP '{"argument": …}'`.

The SDK is set up by the environment alone (OPIK_URL_OVERRIDE, OPIK_API_KEY, OPIK_PROJECT_NAME). The last line printed is a
JSON object of what the step found; the SDK's own log goes to stderr.
"""

import json
import sys
import time

import opik
from opik import opik_context
from opik.rest_api.core.api_error import ApiError

PROJECT = opik.config.OpikConfig().project_name


def done(client, **found):
    return {"flushed": client.flush(timeout=30), **found}


def plain(model):
    return json.loads(model.json(exclude_none=True))


def trace_turns(thread):
    """Two turns: one whole, one whose end is an update that overtakes its create."""
    client = opik.Opik()
    one = client.trace(name="turn-1", thread_id=thread, input={"question": "Where is my order?"}, output={"answer": "On its way."},
                       metadata={"model": "m1"}, tags=["a"])
    time.sleep(0.01)
    two = client.trace(name="turn-2", thread_id=thread, input={"question": "And when?"})
    two.end(output={"answer": "Tomorrow."})
    return done(client, ids=[one.id, two.id])


def spans(thread):
    client = opik.Opik()
    trace = client.trace(name="turn", thread_id=thread, input={"q": "hi"})
    llm = trace.span(name="llm-call", type="llm", model="gpt-4o", provider="openai", input={"messages": [{"role": "user", "content": "hi"}]})
    tool = llm.span(name="look-up", type="tool", input={"a": 1}, output={"b": 2})
    tool.end()
    llm.end(output={"text": "hello"}, usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
    trace.end(output={"a": "hello"})
    client.log_spans_feedback_scores([{"id": llm.id, "name": "quality", "value": 0.5}])
    client.log_traces_feedback_scores([{"id": trace.id, "name": "thumbs", "value": 1.0, "reason": "good"}])
    return done(client, trace=trace.id, llm=llm.id, tool=tool.id)


def track(thread, late=True, seconds=0.0):
    """`@track` nested; the thread is learnt inside, so the first record of the trace has none."""
    ids = {}

    @opik.track(type="llm")
    def answer(question):
        opik_context.update_current_span(model="gpt-4o", provider="openai", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
        return "answer to " + question

    @opik.track
    def chat(message):
        ids["trace"] = opik_context.get_current_trace_data().id
        time.sleep(seconds)
        if late:
            opik_context.update_current_trace(thread_id=thread, tags=["t"], metadata={"k": "v"}, feedback_scores=[{"name": "thumbs", "value": 1.0}])
        return answer(message)

    options = {} if late else {"opik_args": {"trace": {"thread_id": thread}}}
    result = chat("hello", **options)
    return {"flushed": opik.flush_tracker() is not False, "result": result, **ids}


def track_error(thread):
    ids = {}

    @opik.track
    def chat(message):
        ids["trace"] = opik_context.get_current_trace_data().id
        opik_context.update_current_trace(thread_id=thread)
        raise ValueError("boom")

    try:
        chat("hello")
    except ValueError:
        pass
    opik.flush_tracker()
    return ids


def under_message(message, thread=None, in_metadata=False, question="Hello", answer="Hi!"):
    """A trace for a message that the browser sent: by its own ID, or named in metadata."""
    client = opik.Opik()
    fields = {"metadata": {"message_id": message}} if in_metadata else {"id": message}
    trace = client.trace(name="turn", thread_id=thread, input={"question": question}, output={"answer": answer}, **fields)
    trace.span(name="llm-call", type="llm", model="gpt-4o").end()
    trace.end()
    return done(client, trace=trace.id)


def no_batching(thread):
    client = opik.Opik(batching=False)
    trace = client.trace(name="turn", thread_id=thread, input={"q": "hi"})
    span = trace.span(name="llm", type="llm")
    trace.update(metadata={"m": 1}, tags=["x"])
    span.end(output={"o": 1})
    trace.end(output={"a": "hello"})
    return done(client, trace=trace.id, span=span.id)


def update_first(thread):
    """An update sent and flushed before its trace is created."""
    client = opik.Opik()
    trace = opik.id_helpers.generate_id()
    client.update_trace(trace_id=trace, project_name=PROJECT, output={"late": True}, tags=["upd"], thread_id=thread)
    client.flush(timeout=30)
    client.trace(id=trace, name="turn", input={"q": "hi"})
    return done(client, trace=trace)


def score_first(thread):
    client = opik.Opik()
    trace = opik.id_helpers.generate_id()
    client.log_traces_feedback_scores([{"id": trace, "name": "early", "value": 0.25, "reason": "r", "category_name": "c"}])
    client.get_threads_client().log_threads_feedback_scores([{"id": thread, "name": "whole", "value": 0.75}], project_name=PROJECT)
    client.flush(timeout=30)
    client.trace(id=trace, name="turn", thread_id=thread, input={"q": "hi"}, output={"a": "b"})
    return done(client, trace=trace)


def rescore(trace, values):
    client = opik.Opik()
    for value in values:
        client.log_traces_feedback_scores([{"id": trace, "name": "s", "value": value}])
        client.flush(timeout=30)
        time.sleep(0.05)
    scores = client.get_trace_content(trace).feedback_scores
    client.delete_trace_feedback_score(trace, "s")
    return done(client, scores=[plain(score) for score in scores], after=client.get_trace_content(trace).feedback_scores)


def threads(thread):
    """The threads client: search, score, close."""
    client = opik.Opik()
    threads = client.get_threads_client()

    def search(text):
        return [plain(found) for found in threads.search_threads(project_name=PROJECT, filter_string=text)]

    found = {"by_id": search(f'id = "{thread}"'), "active": search('status = "active"')}
    threads.log_threads_feedback_scores([{"id": thread, "name": "satisfaction", "value": 0.8, "reason": "r", "category_name": "c"}], project_name=PROJECT)
    client.flush(timeout=30)
    threads.close_thread(thread, project_name=PROJECT)
    found["inactive"] = search('status = "inactive" AND number_of_messages >= 2')
    found["scored"] = search('feedback_scores.satisfaction >= 0.5')
    found["none"] = search('tags contains "vip" AND duration > 300')
    try:
        threads.close_thread("no-such-thread", project_name=PROJECT)
    except ApiError as error:
        found["unknown"] = error.status_code
    return done(client, **found)


def rest(thread, trace):
    """Tags, comments and status by the generated REST client."""
    client = opik.Opik()
    traces = client.rest_client.traces

    def read():
        return plain(traces.get_trace_thread(project_name=PROJECT, thread_id=thread))

    model = read()["thread_model_id"]
    traces.update_thread(model, tags=["a", "b"])
    traces.update_thread(model, tags_to_add=["c"], tags_to_remove=["a"])
    traces.batch_update_threads(ids=[model], update={"tags_to_add": ["z"]}, merge_tags=True)
    traces.add_thread_comment(model, text="first comment")
    comment = read()["comments"][0]["id"]
    traces.update_thread_comment(comment, text="edited")
    found = {"thread": read(), "comment": plain(traces.get_thread_comment(model, comment))}
    traces.delete_thread_comments(ids=[comment])
    traces.close_trace_thread(project_name=PROJECT, thread_ids=[thread])
    found["closed"] = read()
    traces.open_trace_thread(project_name=PROJECT, thread_id=thread)
    found["opened"] = read()
    traces.add_trace_comment(trace, text="on the trace")
    found["trace"] = plain(client.get_trace_content(trace))
    traces.delete_trace_comments(ids=[found["trace"]["comments"][0]["id"]])
    found["without"] = plain(client.get_trace_content(trace))
    page = traces.get_trace_threads(page=1, size=10, project_name=PROJECT)
    found["page"] = {"total": page.total, "ids": [thread.id for thread in page.content]}
    return found


def queue(thread):
    client = opik.Opik()
    queue = client.create_threads_annotation_queue(name="review", project_name=PROJECT, description="d", instructions="i", feedback_definition_names=["thumbs"])
    threads = client.get_threads_client().search_threads(project_name=PROJECT, filter_string=f'id = "{thread}"')
    queue.add_threads(threads)
    found = {"count": client.get_threads_annotation_queue(queue.id).items_count}
    queue.update(description="d2")
    found["description"] = client.get_threads_annotation_queue(queue.id).description
    queue.remove_threads(threads)
    found["emptied"] = client.get_threads_annotation_queue(queue.id).items_count
    queue.delete()
    try:
        client.get_threads_annotation_queue(queue.id)
    except Exception as error:
        found["deleted"] = type(error).__name__
    return found


def search(text, what="traces", **options):
    client = opik.Opik()
    run = client.search_traces if what == "traces" else client.search_spans
    return {"found": [plain(found) for found in run(project_name=PROJECT, filter_string=text, **options)]}


def many(thread, count):
    """More traces than one batch or one page holds."""
    client = opik.Opik()
    ids = [client.trace(name=f"t{number}", thread_id=f"{thread}-{number % 7}", input={"n": number}).id for number in range(count)]
    flushed = client.flush(timeout=120)
    found = client.search_traces(project_name=PROJECT, max_results=count + 10, max_batch_size=700)
    threads = client.search_threads(project_name=PROJECT, max_results=3)
    return {"flushed": flushed, "sent": len(ids), "found": len(set(trace.id for trace in found) & set(ids)), "threads": len(threads)}


def read(trace, span):
    client = opik.Opik()
    found = {"trace": plain(client.get_trace_content(trace)), "span": plain(client.get_span_content(span))}
    try:
        client.get_trace_content(opik.id_helpers.generate_id())
    except ApiError as error:
        found["missing"] = error.status_code
    found["auth"] = client.auth_check()
    found["project"] = client.get_project(found["trace"]["project_id"]).name
    return found


def projects(names):
    client = opik.Opik()
    for name in names:
        client.trace(name="turn", project_name=name, thread_id="same-thread", input={"q": name}, output={"a": name})
    flushed = client.flush(timeout=30)
    found = {name: [trace.input["q"] for trace in client.search_traces(project_name=name)] for name in names}
    try:
        client.search_traces(project_name="never-written")
    except Exception as error:
        found["unknown"] = getattr(error, "status_code", str(error))
    return {"flushed": flushed, **found}


def delete_project(name):
    """A project goes with all that is in it; the one beside it stays."""
    client = opik.Opik()
    for project in (name, name + "-beside"):
        client.trace(name="turn", project_name=project, thread_id="t", input={"q": project}, output={"a": "b"})
    flushed = client.flush(timeout=30)
    client.rest_client.projects.delete_project_by_id(client.rest_client.projects.retrieve_project(name=name).id)
    found = {"flushed": flushed, "beside": len(client.search_traces(project_name=name + "-beside"))}
    try:
        found["left"] = len(client.search_traces(project_name=name))
    except Exception as error:
        found["left"] = getattr(error, "status_code", str(error))
    return found


def refused():
    client = opik.Opik()
    client.trace(name="turn", input={"q": "hi"})
    flushed = client.flush(timeout=30)
    result = client.end()
    return {"flushed": flushed, "result": str(result)}


if __name__ == "__main__":
    step, arguments = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    print(json.dumps(globals()[step](**arguments), default=str))
