// What a client of any kind does with a server; each step is told as a line of JSON, which a test reads.
// `call(name, args, signal)`, `listTools()`, `read(uri)`, `watch(uri)` (resolves once the server watches).

const wait = (condition) => new Promise((resolve, reject) => {
  const end = setTimeout(() => reject(new Error("waited 20 s")), 20_000);
  const look = () => (condition() ? (clearTimeout(end), resolve()) : setTimeout(look, 20));
  look();
});

export const tell = (step, facts = {}) => console.log(JSON.stringify({ step, ...facts }));

export async function exercise({ version, listTools, call, read, watch, updated }, { spec, request }) {
  tell("connected", { version });
  tell("tools", { names: (await listTools()).tools.map((tool) => tool.name) });

  const created = await call("create_task", { spec, request_id: request });
  const task = created.structuredContent.task_id;
  const got = await call("get_task", { task_id: task });
  tell("task", { id: task, same: got.structuredContent.task_id === task, name: got.structuredContent.name });

  const refused = await call("get_task", { task_id: "task-aaaaaaaaaaaaaaaa" });
  tell("refused", { isError: refused.isError, code: refused.structuredContent.error.code });

  const uri = `potluck://tasks/${task}`;
  tell("read", { id: JSON.parse((await read(uri)).contents[0].text).task_id });

  await watch(uri);
  await call("control_task", { task_id: task, action: "pause" });
  await wait(() => updated.includes(uri));
  tell("updated", { uri });

  tell("done");
}

// A node that waits for work, until the test says on standard input that it has seen it wait.
export async function poll({ call, listTools }, { credentials }) {
  const leave = new AbortController();
  const outcome = call("get_assignment", { ...credentials, wait_s: 30 }, leave.signal).then(
    () => "answered",
    (error) => `${error?.name}: ${error?.message}`,
  );
  tell("polling");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  process.stdin.destroy();
  leave.abort();
  tell("cancelled", { outcome: await outcome });
  tell("tools", { names: (await listTools()).tools.map((tool) => tool.name) });
  tell("done");
}
