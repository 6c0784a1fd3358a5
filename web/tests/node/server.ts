/** A real Potluck server in a process of its own, on loopback, with its data in a folder that goes with it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'vitest';
import { Connection } from '../../src/node/connection';
import type { Fields } from '../../src/node/protocol';

const ROOT = resolve(import.meta.dirname, '../../..');
const python = [process.env.POTLUCK_PYTHON, join(ROOT, '.venv/bin/python')].find((path) => path && existsSync(path));
const why = 'no Python with Potluck: set POTLUCK_PYTHON to one';

/** How long a busy machine may take to start one. */
export const START_MS = 60_000;

/** Tests against a server are skipped where there is no Python; in CI they fail. */
export function describeWithServer(name: string, tests: () => void): void {
  if (python !== undefined) {
    describe(name, tests);
  } else if (process.env.CI === 'true') {
    it(name, () => {
      throw new Error(why);
    });
  } else {
    describe.skip(`${name} (${why})`, tests);
  }
}

export class Server {
  private process: ChildProcess | null = null;
  private readonly folder = mkdtempSync(join(tmpdir(), 'potluck-node-'));
  private port = 0;

  /** `flags` of `potluck serve`, beside `--port` and `--data-dir`. */
  private constructor(private readonly flags: readonly string[]) {}

  static async start(...flags: readonly string[]): Promise<Server> {
    const server = new Server(flags.length ? flags : ['--open']);
    await server.run();
    return server;
  }

  get base(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts on the port and the data of before. */
  async run(): Promise<void> {
    const args = ['-m', 'potluck.cli', 'serve', '--port', String(this.port), '--data-dir', this.folder, ...this.flags];
    const env = { ...process.env, PYTHONPATH: ROOT };
    const child = spawn(python ?? 'python', args, { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    let said = '';
    this.port = await new Promise<number>((resolve, reject) => {
      const hear = (text: Buffer): void => {
        said += String(text);
        const port = /mcp endpoint +http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
        if (port !== undefined) {
          resolve(Number(port));
        }
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.on('exit', (code) => reject(new Error(`the server ended (${code}): ${said}`)));
    });
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child !== null && child.exitCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** What an operator calls, by `token` where the server is not open. */
  async call(tool: string, args: Fields, token: string | null = null): Promise<Fields> {
    const connection = new Connection({ base: this.base, transport: 'http', token });
    try {
      return await connection.call(tool, args);
    } finally {
      connection.close();
    }
  }

  /** Resolves when what `get_task` says `fits`. */
  async until(taskId: string, fits: (task: Fields) => boolean): Promise<Fields> {
    for (;;) {
      const task = await this.call('get_task', { task_id: taskId });
      if (fits(task)) {
        return task;
      }
    }
  }

  /** A running task; parts of `spec` replace those of a small one on the node's own data. */
  async task(spec: Fields = {}, token: string | null = null): Promise<string> {
    const own = { id: 'own', input_shape: [1, 4, 4], num_classes: 3, holdout: 0.2 };
    const whole = {
      name: 'a test',
      model: { id: 'mlp', options: { hidden: 8 } },
      data: own,
      training: { batch_size: 4 },
      cohort: { size: 1 },
      rounds: 2,
      ...spec,
    };
    const made = await this.call('create_task', { spec: whole, request_id: crypto.randomUUID() }, token);
    return String(made.task_id);
  }
}
