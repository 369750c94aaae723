export { McpGuard, type McpGuardOptions } from './mcp-guard';
