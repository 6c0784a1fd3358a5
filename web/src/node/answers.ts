/** What came back from the server: a result, a refusal that stands, or a failure that may be tried again. */
import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import { Refused } from '../refused';
import type { Fields } from './protocol';

/** The server could not be reached, or the connection broke before the answer came. */
export class Lost extends Error {
  override readonly name = 'Lost';
}

const MISFIT = 'check that server and page fit together: reload the page';

/** Refusals that time mends. */
export const LATER: ReadonlySet<string> = new Set(['busy', 'rate_limited', 'storage_full']);
const LATER_STATUS: Readonly<Record<number, string>> = { 429: 'rate_limited', 503: 'busy', 507: 'storage_full' };

/** Refusals that end a round's work for this node, not its membership. */
export const MISSED: ReadonlySet<string> = new Set([
  'not_in_cohort',
  'round_closed',
  'wrong_version',
  'already_submitted',
  'wrong_state',
]);

interface ToolResult {
  readonly isError?: boolean | undefined;
  readonly structuredContent?: unknown;
  readonly content?: readonly { readonly type: string; readonly text?: unknown }[] | undefined;
}

/** A tool's structured result; an error result is thrown as `Refused`. */
export function resultOf(result: ToolResult): Fields {
  const said = result.structuredContent;
  if (result.isError) {
    const text = (result.content ?? []).map((part) => part.text ?? '').join('\n');
    throw refusalIn(said) ?? new Refused('invalid_argument', text || 'The tool failed.', "see the server's log");
  }
  if (typeof said !== 'object' || said === null) {
    throw new Refused('internal', 'The server answered without a structured result.', MISFIT);
  }
  return said as Fields;
}

/** The refusal in `{error: {code, problem, mend}}`, the form in which tools and the raw lane say no. */
export function refusalIn(body: unknown): Refused | null {
  const error = (body as { error?: Record<string, unknown> } | null | undefined)?.error;
  const { code, problem, mend, retry_after_s: after } = error ?? {};
  if (typeof code !== 'string' || typeof problem !== 'string' || typeof mend !== 'string') {
    return null;
  }
  return new Refused(code, problem, mend, typeof after === 'number' && after >= 0 ? after : null);
}

/** What a failed call means: `Lost` may mend itself by trying again; `Refused`, and whatever else, will not. */
export function meaning(error: unknown): unknown {
  for (let below: unknown = error; below instanceof Error; below = below.cause) {
    if (below instanceof Lost || below instanceof Refused) {
      return below;
    }
  }
  if (ProtocolError.isInstance(error)) {
    const [, code, problem, mend] = /^([a-z_]+): (.*) Mend: (.*)$/s.exec(error.message) ?? [];
    const told = code && problem && mend ? new Refused(code, problem, mend) : null;
    return refusalIn(error.data) ?? told ?? new Refused('invalid_argument', `${error.message}.`, MISFIT);
  }
  if (SdkHttpError.isInstance(error)) {
    return meaningOfStatus(error.status);
  }
  if (SdkError.isInstance(error)) {
    const misfit = error.code === SdkErrorCode.InvalidResult || error.code === SdkErrorCode.UnsupportedResultType;
    return misfit ? new Refused('internal', `${error.message}.`, MISFIT) : new Lost(error.message);
  }
  return error;
}

/** What an HTTP error status means, on every path: the status first, whatever the body says.
 *  `known`: this server has answered before; if so, a 404 is a server on its way up or down.
 *  `said`: Potluck's own refusal in the body. `retryAfterS`: the header `Retry-After`. */
export function meaningOfStatus(
  status: number,
  {
    known = false,
    said = null,
    retryAfterS = null,
  }: { known?: boolean; said?: Refused | null; retryAfterS?: number | null } = {},
): Lost | Refused {
  const later = LATER_STATUS[status];
  if (later !== undefined && (status === 429 || said !== null || retryAfterS !== null)) {
    const code = said !== null && LATER.has(said.code) ? said.code : later;
    const problem = said?.problem ?? `The server is too busy (${status}).`;
    return new Refused(code, problem, said?.mend ?? 'try again later', said?.retryAfterS ?? retryAfterS);
  }
  if (status >= 500 || status === 408 || status === 425 || (status === 404 && known)) {
    return new Lost(`HTTP status ${status}`);
  }
  if (status === 401) {
    const problem = said?.problem ?? 'The server wants a valid invitation.';
    return new Refused('unauthorized', problem, 'open the link of an invitation: an operator issues one');
  }
  return said ?? refusalOf(status);
}

function refusalOf(status: number): Refused {
  switch (status) {
    case 403:
    case 421:
      return new Refused(
        'forbidden',
        `The server does not answer to this address (${status}).`,
        "use the address that the server printed, or start it with --allow-host and this host's name",
      );
    case 404:
    case 405:
      return new Refused('not_found', `There is no MCP endpoint at this address (${status}).`, 'check the address');
    case 413:
      return new Refused('too_large', 'The request is larger than the server takes.', 'send it in smaller parts');
    default:
      return new Refused('invalid_argument', `The server answered with HTTP status ${status}.`, MISFIT);
  }
}

/** What a response with an error status means; `json`: whether its body was JSON at all. */
export async function verdictOf(response: Response, known = false): Promise<{ meant: Lost | Refused; body: unknown }> {
  const body: unknown = await response.json().catch(() => undefined);
  const after = response.headers.get('Retry-After') ?? '';
  const retryAfterS = /^\d+$/.test(after) ? Number(after) : null;
  return { meant: meaningOfStatus(response.status, { known, said: refusalIn(body), retryAfterS }), body };
}
