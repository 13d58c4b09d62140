import {
  commonOptions,
  type ConfigOf,
  defineOptions,
  defineRules,
  formatAddress,
  listensTwice,
} from '@blockferry/runtime/service'

/** Settings of the WAN proxy, which stands between two sites in the lab and in containers. */
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

/** What the settings must keep between them. */
export const rules = defineRules(options, [
  {
    keys: ['listen', 'httpListen'],
    expected: 'two different ports',
    broken: ({ httpListen, listen }) => listensTwice(listen, httpListen),
  },
  {
    keys: ['listen', 'target'],
    expected: 'two different addresses: a link does not lead to itself',
    broken: ({ listen, target }) => formatAddress(listen) === formatAddress(target),
  },
])

export type WanConfig = ConfigOf<typeof options>
