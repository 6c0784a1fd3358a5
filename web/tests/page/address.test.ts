import { expect, it } from 'vitest';
import { invitation, readAddress } from '../../src/page/address';

it('takes the server to be what stands before the last edge/, whatever the prefix', () => {
  const bases = ['/edge/', '/edge/index.html', '/a/edge/b/edge/', '/potluck/edge/?x=edge/', '/'].map((path) => readAddress(`https://host:8443${path}`).base);
  expect(bases).toEqual(['/', '/', '/a/edge/b/', '/potluck/', '/'].map((path) => `https://host:8443${path}`));
});

it('passes on the transport and the engine that it knows, and nothing else', () => {
  expect(readAddress('http://localhost/edge/?transport=sse&engine=cpu')).toMatchObject({ transport: 'sse', force: 'cpu', token: null });
  expect(readAddress('http://localhost/edge/?transport=tcp&engine=tpu#tasks')).toMatchObject({ transport: 'http', force: null, token: null });
});

it('finds the token in a link, in its fragment, or alone', () => {
  expect(readAddress('https://host/edge/#invite=abc.d-e_f').token).toBe('abc.d-e_f');
  expect([' https://host/edge/#invite=a%2Bb\n', '#invite=abc', ' abc '].map(invitation)).toEqual(['a+b', 'abc', 'abc']);
});

it('takes no link without an invitation, no words and no torn escape for a token', () => {
  expect(['', 'https://host/edge/', 'two words', '#invite=', '#invite=%E0%A4%A', 'naïve'].map(invitation)).toEqual(Array(6).fill(null));
});
