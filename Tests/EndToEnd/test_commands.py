"""The commands, on a data folder that a server runs on."""

import json
import os
import subprocess

from parley_process import PARLEY, Gateway, free_port, message


def test_project_create_prints_what_scripts_rely_on(gateway):
    made = gateway.answer("project", "create", "shop", "--origin", "https://shop.example")
    assert set(made) == {"project", "publicKey", "secretKey"} and set(made["project"]) == {"id", "name"}
    again = gateway.command("project", "create", "shop", "--json", check=False)
    assert again.returncode == 1 and "shop" in again.stderr
    assert "shop" in gateway.command("project", "list").stdout
    assert gateway.command("project", "show", "shop").returncode == 0
    wrong = gateway.command("project", "set", "shop", "--origin", "shop.example", check=False)
    assert wrong.returncode != 0 and "origin" in wrong.stderr.lower()


def test_threads_exports_tail_and_doctor_read_what_was_written(gateway, project):
    project.send(message(text="look at this"), message(text="and that", role="assistant"))
    assert "t-1" in gateway.command("thread", "list", "--project", project.name).stdout
    assert "look at this" in gateway.command("thread", "show", "t-1", "--project", project.name).stdout
    summary, *items = map(json.loads, gateway.command("export", "--project", project.name).stdout.splitlines())
    assert (summary["type"], summary["thread"]) == ("thread", "t-1")
    assert [item["content"] for item in items] == ["look at this", "and that"]
    assert len(gateway.command("export", "--project", project.name, "--format", "csv").stdout.splitlines()) == 3
    assert gateway.command("doctor", "--url", gateway.url).returncode == 0
    link = gateway.answer("review", "link")
    assert "#signin=" in json.dumps(link)


def test_tail_follows_events_live(gateway, project):
    tail = subprocess.Popen(
        [PARLEY, "tail", "--project", project.name, "--json", "--data", gateway.folder], stdout=subprocess.PIPE, text=True)
    try:
        import time
        time.sleep(1.5)
        project.send(message(text="now"))
        assert "now" in tail.stdout.readline()
    finally:
        tail.terminate()
        tail.wait(10)


def test_faults_are_sentences_to_act_on(gateway, tmp_path):
    busy = subprocess.run(
        [PARLEY, "serve", "--listen", f"127.0.0.1:{gateway.port}", "--data", str(tmp_path / "d")], capture_output=True, text=True, timeout=30)
    assert busy.returncode == 1 and "in use" in busy.stderr and "--listen" in busy.stderr
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "parley.sqlite").write_bytes(b"A" * 8192)
    told = subprocess.run([PARLEY, "project", "list", "--data", str(broken)], capture_output=True, text=True, timeout=30)
    assert told.returncode == 1 and "damaged" in told.stderr
    file = tmp_path / "file"
    file.write_text("x")
    told = subprocess.run([PARLEY, "project", "list", "--data", str(file / "inside")], capture_output=True, text=True, timeout=30)
    assert told.returncode == 1 and "--data" in told.stderr


def test_the_demo_is_made_once(tmp_path):
    gateway = Gateway(demo=True).start()
    keys = json.load(open(os.path.join(gateway.folder, "demo.json")))
    assert oct(os.stat(os.path.join(gateway.folder, "demo.json")).st_mode & 0o777) == "0o600"
    gateway.stop()
    gateway.port = free_port()
    gateway.url = f"http://127.0.0.1:{gateway.port}"
    gateway.start()
    assert json.load(open(os.path.join(gateway.folder, "demo.json"))) == keys
    gateway.stop()
