"""An MCP server with two tools whose calls Agnost's SDK records, and a client in the same process that calls both; prints which of
the calls failed.

    python agnost_mcp_server.py '{"endpoint": "http://…", "key": "sk_…", "user": {"userId": "u1"}}'
"""

import asyncio
import json
import sys
import time

import agnost_mcp
from mcp.server.fastmcp import FastMCP
from mcp.shared.memory import create_connected_server_and_client_session

options = json.loads(sys.argv[1])
server = FastMCP("weather")


@server.tool()
def get_weather(location: str) -> str:
    return f"Sunny in {location}"


@server.tool()
def boom(x: int) -> str:
    raise ValueError("bad thing")


identify = (lambda request, environment: options["user"]) if options.get("user") else None
agnost_mcp.track(server, options["key"], agnost_mcp.config(endpoint=options["endpoint"], identify=identify))


async def main():
    async with create_connected_server_and_client_session(server._mcp_server) as client:
        return [(await client.call_tool(name, arguments)).isError for name, arguments in options.get("calls", CALLS)]


CALLS = [("get_weather", {"location": "Paris"}), ("boom", {"x": 1})]
failed = asyncio.run(main())
time.sleep(1)  # its workers send in the background
agnost_mcp.shutdown()
print(json.dumps(failed))
