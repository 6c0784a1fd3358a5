/** The node's thread: engine, storage and the MCP client live here. */
export {};
