/** A server as a tab has opened it, and what it says of whoever opened it. */
import type { EngineReport } from '../engine/types';
import type { Command } from '../messages';
import { Refused } from '../refused';
import type { Address, Connection } from './connection';
import type { Device } from './device';
import { openIdentity } from './identity';
import type { Keyring } from './keyring';
import type { Store } from './store';
import type { Watch } from './watch';

export type Opening = Extract<Command, { readonly type: 'open' }>;

/** A server as it was opened, with one token. */
export interface Site {
  readonly opening: Opening;
  readonly address: Address;
  readonly connection: Connection;
  readonly keyring: Keyring;
  readonly store: Store;
  readonly watch: Watch;
  /** It may take seconds to be measured. */
  readonly device: Promise<Device>;
  close(): void;
  /** Known once the device is there. */
  engine: EngineReport | null;
  /** Whether this caller may be a node; null as long as it is not known. */
  mayTrain: boolean | null;
  /** Whether the token is an invitation that the server has not taken yet. */
  offered: boolean;
}

/** Under which name the keyring keeps the invitation to a server. */
export const tokenKey = (base: string): string => `token ${base}`;
/** And one that the server has not taken yet. */
export const offerKey = (base: string): string => `offer ${base}`;

/** Whether this caller may be a node: nobody else is given a challenge. It costs a thirtieth of a list of tools. Null if
 *  that cannot be told now; throws where the server takes no word of this caller. */
export async function mayTrain({ connection, keyring, address }: Site): Promise<boolean | null> {
  try {
    const { publicKey } = await openIdentity(keyring);
    const hello = { public_key: publicKey, capabilities: {}, audience: new URL(address.base).host };
    await connection.call('handshake', hello, { once: true });
    return true;
  } catch (error) {
    const code = error instanceof Refused ? error.code : null;
    if (code === 'unauthorized') {
      throw error;
    }
    return code === 'forbidden' ? false : null;
  }
}
