/** What the page's address says: where the server is, how to reach it, and an invitation, which does not stay there. */

export interface Address {
  /** The server's URL with a slash at its end: the page's without the last `edge/`, whatever prefix stands before. */
  readonly base: string;
  readonly transport: 'http' | 'sse';
  readonly force: 'webgpu' | 'cpu' | null;
  readonly token: string | null;
}

export function readAddress(href: string): Address {
  const url = new URL(href);
  const engine = url.searchParams.get('engine');
  return {
    base: url.origin + url.pathname.replace(/[^/]*$/, '').replace(/edge\/$/, ''),
    transport: url.searchParams.get('transport') === 'sse' ? 'sse' : 'http',
    force: engine === 'webgpu' || engine === 'cpu' ? engine : null,
    token: url.hash.startsWith('#invite=') ? invitation(url.hash) : null,
  };
}

/** The token in what a person pastes: a link with `#invite=`, that fragment alone, or the token itself. */
export function invitation(text: string): string | null {
  const [, after = text] = text.split('#invite=');
  try {
    const token = decodeURIComponent(after.trim());
    return /^[\x21-\x7e]+$/.test(token) && !token.includes('://') ? token : null;
  } catch {
    return null; // a stray per cent sign
  }
}
