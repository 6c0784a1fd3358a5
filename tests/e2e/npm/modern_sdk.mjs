// @modelcontextprotocol/client 2.x: node modern_sdk.mjs '{"transport": "http"|"sse"|"stdio", "mode": "auto"|"legacy", …}'
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { exercise, poll, tell } from "./exercise.mjs";

const asked = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${asked.token}` };
const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(`${asked.url}/mcp`), { requestInit: { headers } }),
  sse: () => new SSEClientTransport(new URL(`${asked.url}/sse`), { requestInit: { headers } }),
  stdio: () => new StdioClientTransport({ ...asked.command, stderr: "inherit" }),
};
const client = new Client({ name: "potluck-tests", version: "1" }, { versionNegotiation: { mode: asked.mode } });
const updated = [];
client.setNotificationHandler("notifications/resources/updated", (said) => void updated.push(said.params.uri));
client.onerror = (error) => tell("error", { message: String(error) });

await client.connect(transports[asked.transport]());
const version = client.getNegotiatedProtocolVersion();
await (asked.credentials ? poll : exercise)(
  {
    version,
    updated,
    listTools: () => client.listTools(),
    call: (name, args, signal) => client.callTool({ name, arguments: args }, { signal }),
    read: (uri) => client.readResource({ uri }),
    watch: (uri) =>
      version >= "2026-07-28" ? client.listen({ resourceSubscriptions: [uri] }) : client.subscribeResource({ uri }),
  },
  asked,
);
client.onerror = undefined; // that its streams end now is no news
await client.close();
