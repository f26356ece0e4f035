"""One scenario with the real lunary SDK, in a process of its own: lunary_sdk.py SCENARIO '{"argument": …}'.

The SDK reads LUNARY_API_URL and LUNARY_PRIVATE_KEY (or LUNARY_PUBLIC_KEY) once, at import, and sends what is left when the process ends.
Prints what the scenario returns, as JSON.
"""

import json
import sys
import threading
import time

import lunary

scenarios = {}


def scenario(function):
    scenarios[function.__name__] = function
    return function


def open_thread(thread, **options):
    return lunary.open_thread(id=thread, **options)


@scenario
def roles(thread):
    opened = open_thread(
        thread, tags=["support"], user_id="user-1", user_props={"email": "u1@example.org"}, metadata={"page": "/pricing"})
    return [
        opened.track_message({"role": role, "content": f"hello from {role}"}) for role in ("user", "assistant", "system", "tool")]


@scenario
def shapes(thread, message):
    """A retry with an ID of its own and a vote, then an answer of blocks, then one of nothing but tool calls."""
    opened = open_thread(thread, user_id="user-1")
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    opened.track_message(
        {"id": message, "role": "user", "content": "again", "is_retry": True, "tags": ["t1"], "extra": {"lang": "fr"}},
        feedback={"thumb": "up"})
    opened.track_message({"role": "assistant", "content": [{"type": "text", "text": "a block"}]})
    opened.track_message({"role": "assistant", "content": None, "tool_calls": [call]})


@scenario
def message(thread, message, role="user", content="Hello"):
    return open_thread(thread).track_message({"id": message, "role": role, "content": content})


@scenario
def custom_event(thread):
    opened = open_thread(thread, tags=["support"], user_id="user-1")
    opened.track_event("open-document", metadata={"documentName": "my-document.pdf"})
    opened.track_event("odd", metadata={"nan": float("nan"), "inf": float("inf"), "half": "a\ud800b", "big": 2 ** 70})
    opened.track_event("close-document", user_id="user-2")


@scenario
def feedback(target, votes):
    for vote in votes:
        lunary.track_feedback(target, vote)
        time.sleep(0.01)  # each of a later moment


@scenario
def agent(parent):
    @lunary.tool(name="web_search")
    def search(query):
        return {"hits": [query]}

    @lunary.tool(name="broken")
    def broken():
        raise ValueError("nope")

    @lunary.agent(name="SupportAgent", user_id="user-1", tags=["agent-tag"])
    def support(question):
        search(question)
        try:
            broken()
        except ValueError:
            pass
        return "answer"

    with lunary.parent(parent):
        return support("how?")


@scenario
def identified_chain():
    @lunary.chain(name="MyChain")
    def chain(text):
        return text.upper()

    with lunary.identify("user-7", user_props={"plan": "free"}), lunary.tags(["tagged"]):
        return chain("x")


def client(url):
    from openai import OpenAI

    openai = OpenAI(base_url=url, api_key="sk-fake", max_retries=0)
    lunary.monitor(openai)
    return openai


@scenario
def openai(url, parent, model="gpt-4o"):
    try:
        answer = client(url).chat.completions.create(
            model=model, temperature=0.3, messages=[{"role": "user", "content": "Hello!"}], parent=parent, tags=["chat"],
            user_id="user-1", user_props={"plan": "free"}, metadata={"requestId": "r-1"})
        return answer.choices[0].message.content
    except Exception as error:
        return type(error).__name__


@scenario
def openai_stream(url, parent):
    with lunary.parent(parent):
        stream = client(url).chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello!"}], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


@scenario
def openai_under_agent(url, parent):
    openai = client(url)

    @lunary.agent(name="Answerer")
    def answer(question):
        return openai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}]).choices[0].message.content

    with lunary.parent(parent):
        return answer("Hello!")


@scenario
def backend(url, thread, parent, answer):
    """What a backend does about a message of a page: an agent that asks a model, a call of its own, and an answer in the thread."""
    openai = client(url)

    def ask(question, **options):
        return openai.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}], **options)

    @lunary.agent(name="Answerer")
    def think(question):
        return ask(question).choices[0].message.content

    with lunary.parent(parent):
        text = think("Hello!")
    ask("Is that a good answer?", parent=parent)
    open_thread(thread).track_message({"id": answer, "role": "assistant", "content": text})
    return text


@scenario
def langchain(parent):
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    chain = ChatPromptTemplate.from_messages([("system", "be nice"), ("user", "{q}")]) | FakeListChatModel(responses=["pong"]) | StrOutputParser()
    with lunary.parent(parent):
        return chain.invoke(
            {"q": "ping"}, config={
                "callbacks": [lunary.LunaryCallbackHandler()], "tags": ["lc"], "metadata": {"user_id": "lc-user", "k": "v"}})


@scenario
def concurrent(parents):
    """Two requests at once: the SDK's one stack of runs mixes them up, and everything arrives all the same."""
    def request(parent, delay):
        @lunary.agent(name=f"agent-{delay}")
        def work():
            time.sleep(0.2)
            return delay

        time.sleep(delay)
        with lunary.parent(parent):
            work()

    threads = [threading.Thread(target=request, args=(parent, 0.1 * number)) for number, parent in enumerate(parents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@scenario
def score(target, label="accuracy", value=0.9, comment="ok"):
    lunary.score(target, label, value, comment)


@scenario
def elsewhere():
    """Templates and datasets: which error the SDK makes of a 404."""
    errors = []
    for ask in (lambda: lunary.render_template("welcome"), lambda: lunary.get_dataset("ds")):
        try:
            ask()
            errors.append(None)
        except Exception as error:
            errors.append(type(error).__name__)
    return errors


@scenario
def two_projects(thread, keys):
    for number, key in enumerate(keys):
        open_thread(thread, app_id=key).track_message({"role": "user", "content": f"for project {number}"})


if __name__ == "__main__":
    print(json.dumps(scenarios[sys.argv[1]](**json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))))
