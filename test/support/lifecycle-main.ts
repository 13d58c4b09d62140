import { assert, Fault } from '@blockferry/runtime'
import { type RunningService, runService, type ServiceContext } from '@blockferry/runtime/service'

/** A service that misbehaves in the way its first argument names: `runService` under test. */
const ways: Readonly<Record<string, (context: ServiceContext) => Promise<RunningService>>> = {
  runs: async () => ({ async [Symbol.asyncDispose]() {} }),
  'never-stops': async () => ({ [Symbol.asyncDispose]: () => new Promise<void>(() => undefined) }),
  'fails-while-running': async () => ({
    failed: Promise.reject(new Fault('DISK_LOCKED', 'somebody took it', { nextCommand: 'lslocks' })),
    async [Symbol.asyncDispose]() {},
  }),
  'breaks-an-invariant': async () => {
    assert(false, 'on purpose')
    throw new Error('not reached')
  },
  'throws-later': async () => {
    setImmediate(() => {
      throw new Error('from a callback')
    })
    return { async [Symbol.asyncDispose]() {} }
  },
  'waits-in-start': ({ logger, signal }) =>
    new Promise((_resolve, reject) => {
      logger.info({ event: 'starting' }, 'starting')
      signal.addEventListener('abort', () => reject(new DOMException('given up', 'AbortError')))
    }),
}

// A timer stands for the sockets of a real service: without them the process would end by itself.
setInterval(() => undefined, 60_000)
await runService({
  service: 'misbehaving',
  start: async (context) => {
    const start = ways[context.argv[0] ?? '']
    assert(start !== undefined, 'the way is one of the list')
    const running = await start(context)
    context.logger.info({ event: 'listening' }, 'started')
    return running
  },
})
