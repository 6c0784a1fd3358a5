// @modelcontextprotocol/sdk 1.x, which knows the handshake era: node older_sdk.mjs '{"transport": "http"|"sse"|"stdio", …}'
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { exercise, poll, tell } from "./exercise.mjs";

const asked = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${asked.token}` };
const transports = {
  http: () => new StreamableHTTPClientTransport(new URL(`${asked.url}/mcp`), { requestInit: { headers } }),
  sse: () => new SSEClientTransport(new URL(`${asked.url}/sse`), { requestInit: { headers } }),
  stdio: () => new StdioClientTransport({ ...asked.command, stderr: "inherit" }),
};
const client = new Client({ name: "potluck-tests", version: "1" });
const updated = [];
client.setNotificationHandler(ResourceUpdatedNotificationSchema, (said) => void updated.push(said.params.uri));
client.onerror = (error) => tell("error", { message: String(error) });

const transport = transports[asked.transport]();
await client.connect(transport);
await (asked.credentials ? poll : exercise)(
  {
    version: transport.protocolVersion ?? "handshake",
    updated,
    listTools: () => client.listTools(),
    call: (name, args, signal) => client.callTool({ name, arguments: args }, undefined, { signal }),
    read: (uri) => client.readResource({ uri }),
    watch: (uri) => client.subscribeResource({ uri }),
  },
  asked,
);
client.onerror = undefined; // that its streams end now is no news
await client.close();
