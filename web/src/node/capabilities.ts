/** What this node says that it is and can do, measured or asked of the browser; nothing is made up. */
import type { EngineReport } from '../engine/types';
import type { Fields } from './protocol';

/** Every rule of the server's whose node side is plain local training, with or without a proximal term: all but
 *  `scaffold`, whose control variates this node does not keep, and those of adapters, which need a language model. */
export const METHODS: readonly string[] = [
  'bulyan',
  'centered_clipping',
  'fedadagrad',
  'fedadam',
  'fedavg',
  'fedavgm',
  'fednova',
  'fedprox',
  'fedyogi',
  'geometric_median',
  'krum',
  'median',
  'multi_krum',
  'norm_clipping',
  'trimmed_mean',
];
export const CODECS: readonly string[] = ['none'];

/** What browsers tell beside the standard. */
interface Browser {
  readonly userAgent: string;
  readonly hardwareConcurrency?: number;
  /** GiB, rounded, at most 8 (or 32). */
  readonly deviceMemory?: number;
  readonly userAgentData?: {
    readonly brands?: readonly { readonly brand: string; readonly version: string }[];
    readonly platform?: string;
    readonly mobile?: boolean;
  };
}

export function capabilitiesOf(engine: EngineReport, models: readonly string[], browser: Browser = navigator): Fields {
  const { deviceMemory, userAgentData: data } = browser;
  return {
    runtime: 'browser',
    device: deviceOf(engine).slice(0, 80),
    ...(deviceMemory && { memory_bytes: deviceMemory * 2 ** 30 }),
    codecs: CODECS,
    methods: METHODS,
    model_ids: models,
    engine: engine.kind,
    engine_reason: engine.reason,
    adapter: engine.adapter,
    limits: engine.limits,
    kernels: engine.kernels,
    matmul_gflops: engine.matmulGflops,
    browser: browserOf(browser),
    ...(data?.platform && { platform: data.platform }),
    ...(data?.mobile !== undefined && { mobile: data.mobile }),
    ...(browser.hardwareConcurrency && { cores: browser.hardwareConcurrency }),
  };
}

/** The server takes a device that has `gpu` in its words for an accelerator, until it has seen how quick it is. */
function deviceOf({ kind, adapter }: EngineReport): string {
  const words = [...new Set(['vendor', 'architecture', 'device', 'description'].map((name) => adapter[name]))];
  return kind === 'cpu' ? 'cpu' : `webgpu: ${words.filter(Boolean).join(' ') || 'unnamed adapter'}`;
}

/** Brands that only exist to keep programs from relying on brands are left out. */
function browserOf({ userAgent, userAgentData }: Browser): string {
  const brands = (userAgentData?.brands ?? []).filter(({ brand }) => !/not.?a.?brand/i.test(brand));
  return (brands.map(({ brand, version }) => `${brand} ${version}`).join(', ') || userAgent).slice(0, 200);
}
