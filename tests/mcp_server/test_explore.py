from __future__ import annotations
import time, asyncio, json
import pytest
from tests.mcp_server.running import Served, serving
from tests.mcp_server.raw_node import *
from tests.mcp_server.rpc import *
pytestmark = pytest.mark.anyio

async def test_round(served):
    for i in range(2):
        t=time.time()
        a, b = await cohort(served)
        print("cohort", time.time()-t); t=time.time()
        await a.deliver(packed(value=0.1))
        r = await b.deliver(packed(value=0.2), lane="chunks")
        print("deliver", time.time()-t); t=time.time()
        await served.close_due_rounds()
        print("close", time.time()-t)
    s = await served.state_of(a.task_id)
    print(s["rounds"])
    t=time.time(); await served.snapshot(); print("snap", time.time()-t)

async def test_nonascii_b64(served):
    a, b = await cohort(served)
    d=packed()
    bg = await a.begin(d)
    for bad in ("é", "!!!", "A", "AAAA\n"):
        try: print(await a.call("upload_chunk", upload_id=bg["upload_id"], offset=0, data_b64=bad))
        except Refusal as r: print(repr(bad), r)

async def test_discard_race(served):
    lost=0
    for i in range(10):
        a, = await cohort(served, 1)
        d=packed(value=i+1.0)
        bg = await a.begin(d); await a.put(bg["url"], d)
        rs = await asyncio.gather(a.submit(d, bg["upload_id"]), a.submit(d, bg["upload_id"], signature="AAAA"), return_exceptions=True)
        has = served.federation.shared.spool.has(sha256(d))
        await served.close_due_rounds()
        s = await served.state_of(a.task_id)
        print([str(r)[:40] for r in rs], has, s["state"], s["rounds"][0]["state"])

async def test_two_differing_at_once(served):
    for i in range(3):
        a, b = await cohort(served)
        rs = await asyncio.gather(a.submit_inline(packed(value=1.0)), a.submit_inline(packed(value=2.0)), return_exceptions=True)
        print([str(r)[:140] for r in rs])

async def test_poison_metrics(served):
    a, b = await cohort(served)
    await a.submit_inline(packed(value=.1), metrics={"eval_loss": 1e308, "eval_examples": 1e308})
    await b.submit_inline(packed(value=.1), metrics={"eval_loss": -1e308, "eval_examples": 1e307})
    await served.close_due_rounds()
    s = await served.state_of(a.task_id)
    print(s["state"], s["rounds"][0])
    a, b = await cohort(served)
    await a.submit_inline(packed(value=.1), metrics={"eval_loss": 1e308, "eval_examples": 1e308})
    await b.submit_inline(packed(value=.1), metrics={"eval_loss": 1, "eval_examples": 1})
    await served.close_due_rounds()
    s = await served.state_of(a.task_id)
    print(s["state"], s["rounds"][0])
    op = await served.operator()
    try: print((await op.call("get_task", task_id=a.task_id))["rounds"][0])
    except Exception as e: print(repr(e))
    try: print((await op.read(f"potluck://tasks/{a.task_id}/metrics")))
    except Exception as e: print(repr(e))

async def test_diverged(served):
    a, = await cohort(served,1)
    await a.submit_inline(packed(value=3e38))
    await served.close_due_rounds()
    s = await served.state_of(a.task_id)
    print(s["state"], s["rounds"][0])
    op = await served.operator()
    for tool, kw in (("evaluate_model", {}),("predict", {"inputs":[[0.5]*64]})):
        try: print(await op.call(tool, task_id=a.task_id, **kw))
        except Exception as e: print(repr(e))

async def test_nan_report(served):
    a, b = await cohort(served)
    op = await served.operator()
    for loss in (float("nan"), "nan", float("inf")):
        try:
            print(await a.call("report_progress", task_id=a.task_id, round=1, loss=loss))
            print((await op.read(f"potluck://tasks/{a.task_id}"))["nodes"][0]["progress"])
        except Exception as e: print(repr(e))
    try:
        print((await op.call("get_task", task_id=a.task_id))["nodes"][0]["progress"])
    except Exception as e: print(repr(e))
    r = await a.rpc.post("tools/call", {"name":"report_progress","arguments":{"node_id":a.node_id,"node_token":a.node_token,"task_id":a.task_id,"round":1,"loss":float("nan")}})
    print(r.status_code, r.text)
    print(await a.call("report_progress", task_id="task-aaaaaaaaaaaaaaaa", round=1, phase="leaving"))

async def test_caps(served):
    n = RawNode(served, served.rpc((await served.token("node")).secret))
    caps = CAPABILITIES | {"x": float("inf"), "blob": "a"*1_500_000}
    try:
        await n.shake_hands(capabilities=caps)
        op = await served.operator()
        ns = await op.read("potluck://nodes")
        print(len(str(ns)))
    except Exception as e: print(repr(e)[:300])
    await enrolled(served)

async def test_leak(served):
    a, b = await cohort(served)
    junk = packed(value=77.)
    bg = await a.begin(junk); await a.put(bg["url"], junk)
    d=packed(value=5.5)
    await a.submit_inline(d); await b.submit_inline(d)
    await served.close_due_rounds()
    print("leaked", served.federation.shared.spool.has(sha256(junk)))
    j2 = packed(value=78.)
    try:
        print(await a.put(bg["url"], junk))
    except Refusal as r: print(r)

async def test_enrol_bypass(served):
    t1 = await served.token("node", max_nodes=1); t2 = await served.token("node")
    await enrolled(served, t1.secret)
    n = RawNode(served, served.rpc(t2.secret))
    proof = await n.proof()
    await n.hello(**proof)
    n.rpc = served.rpc(t1.secret)
    try:
        w = await n.hello(**proof)
        n.node_id, n.node_token = w["node_id"], w["node_token"]
        tid = await served.task()
        print(await n.join(tid))
    except Refusal as r: print(r)

async def test_audience(served):
    n = RawNode(served, served.rpc((await served.token("node")).secret))
    for aud in ("localhost:1@evil.example", "[::1].evil.example", "127.0.0.1:80@evil.example", "evil.example", "127.0.0.1.evil.example", ""):
        try:
            await n.shake_hands(audience=aud); print(aud, "accepted")
        except Refusal as r: print(aud, r)

async def test_origins(served):
    for h in ({"Origin":"http://["}, {"Origin":"http://[::1].evil.example"}, {"Origin":"http://localhost:1@evil.example"}, {"Origin":"null"}, {"Origin":"http://evil.example"},{"Host":"evil.example"},{"Host":"[::1].evil"}):
        r = await served.http.get("/healthz", headers=h)
        print(h, r.status_code, r.text[:100])
