import { commonOptions, defineOptions, type ConfigOf } from '@blockferry/runtime/service'

/** Settings of the WAN proxy; it exists only in the lab. */
export const options = defineOptions({
  ...commonOptions,
  listen: { kind: 'address', default: '127.0.0.1:0', doc: 'Where MirrorMaker connects.' },
  target: { kind: 'address', doc: 'The broker behind the link.' },
  httpListen: { kind: 'address', default: '127.0.0.1:0', doc: 'Where the link is watched and changed.' },
  bytesPerSecond: {
    kind: 'integer',
    unit: 'bytes/s',
    min: 1024,
    max: 100_000_000_000,
    default: null,
    doc: 'Capacity of the link in each direction at start; left out: unlimited.',
  },
})

export type WanConfig = ConfigOf<typeof options>
