import { ProtocolError, SdkError, SdkErrorCode } from '@modelcontextprotocol/client';
import { describe, expect, it } from 'vitest';
import { Lost, meaning, meaningOfStatus, refusalIn, resultOf } from '../../src/node/answers';
import { Refused } from '../../src/refused';

const said = new Refused('storage_full', 'The disk is full.', 'wait', 7);

describe('an HTTP status', () => {
  it.each([408, 425, 500, 502, 503, 504])('of %i is a trouble that passes', (status) => {
    expect(meaningOfStatus(status)).toBeInstanceOf(Lost);
  });

  it.each([
    [429, {}, 'rate_limited', null],
    [429, { retryAfterS: 3 }, 'rate_limited', 3],
    [503, { retryAfterS: 2 }, 'busy', 2],
    [507, { said }, 'storage_full', 7],
    [507, { said, retryAfterS: 9 }, 'storage_full', 7],
    [401, {}, 'unauthorized', null],
    [403, {}, 'forbidden', null],
    [421, {}, 'forbidden', null],
    [404, {}, 'not_found', null],
    [413, {}, 'too_large', null],
    [418, {}, 'invalid_argument', null],
  ])('of %i with %o means %s', (status, rest, code, retryAfterS) => {
    expect(meaningOfStatus(status, rest)).toMatchObject({ code, retryAfterS });
  });

  it('of 404 is a restart where the server has answered before', () => {
    expect(meaningOfStatus(404, { known: true })).toBeInstanceOf(Lost);
  });
});

describe('an error', () => {
  it('means what is at its bottom', () => {
    const lost = new Lost('refused');
    expect(meaning(new Error('above', { cause: new Error('between', { cause: lost }) }))).toBe(lost);
    expect(meaning(new SdkError(SdkErrorCode.RequestTimeout, 'late'))).toBeInstanceOf(Lost);
    expect(meaning(new SdkError(SdkErrorCode.InvalidResult, 'odd'))).toMatchObject({ code: 'internal' });
    const error = new RangeError('mine');
    expect(meaning(error)).toBe(error);
  });

  it('of a resource keeps its code, problem and mend', () => {
    const text = 'not_found: there is no task task-a. Mend: take the id from list_tasks';
    expect(meaning(new ProtocolError(-32602, text))).toMatchObject({
      code: 'not_found',
      problem: 'there is no task task-a.',
      mend: 'take the id from list_tasks',
    });
  });
});

describe("a tool's answer", () => {
  it('is its structured content, or its refusal', () => {
    expect(resultOf({ structuredContent: { round: 1 } })).toEqual({ round: 1 });
    const error = { code: 'rate_limited', problem: 'Too often.', mend: 'wait', retry_after_s: 1.5 };
    const refused = (() => {
      try {
        return resultOf({ isError: true, structuredContent: { error } });
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(refused).toMatchObject({ code: 'rate_limited', retryAfterS: 1.5 });
    expect(() => resultOf({ isError: true, content: [{ type: 'text', text: 'it broke' }] })).toThrow('it broke');
    expect(() => resultOf({ content: [] })).toThrow('without a structured result');
  });

  it.each([null, 'text', { error: 'text' }, { error: { code: 1 } }])('%o holds no refusal', (body) => {
    expect(refusalIn(body)).toBeNull();
  });
});
