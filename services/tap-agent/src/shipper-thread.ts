import { Worker } from 'node:worker_threads'
import { assert, Fault } from '@blockferry/runtime'
import type { Minted } from './disk/disk-ports.ts'
import type { ShipperHandle } from './agent/tap-agent.ts'
import type { LaneFigures } from './shipper/partition-lane.ts'
import type { ShipperListener } from './shipper/shipper-ports.ts'
import type { FromShipper, ShipperThreadData, SpoolPlace, ToShipper } from './shipper/thread-messages.ts'

/** The shipper needs little: it reads frames of 1 MiB and holds batches of a few. */
const heapMegabytesMax = 96

/** The shipper's thread, as the guest's thread sees it. */
export interface ShipperThread extends ShipperHandle {
  readonly figures: ReadonlyMap<number, LaneFigures>
  /** Rejects when the thread ends although nobody stopped it. */
  readonly failed: Promise<never>
  stop(): Promise<void>
}

export interface ShipperThreadOptions {
  readonly data: ShipperThreadData
  readonly placeOf: (diskId: string) => SpoolPlace
  /** Asked for each message, for the agent is made after its shipper. */
  readonly listener: () => ShipperListener
}

interface Call {
  readonly resolve: (minted: Minted) => void
  readonly reject: (error: unknown) => void
}

export function startShipperThread(options: ShipperThreadOptions): ShipperThread {
  const worker = new Worker(new URL('./shipper-worker.ts', import.meta.url), {
    workerData: options.data,
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytesMax, maxYoungGenerationSizeMb: 8 },
  })
  const calls = new Map<number, Call>()
  const stopped = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<never>()
  let figures: ReadonlyMap<number, LaneFigures> = new Map()
  let lastCallId = 0
  let stopping = false
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
  const send = (message: ToShipper): void => worker.postMessage(message)
  const settle = (callId: number, settleCall: (call: Call) => void): void => {
    const call = calls.get(callId)
    assert(call !== undefined, 'an answer has its call')
    calls.delete(callId)
    settleCall(call)
  }
  worker.on('message', (message: FromShipper) => {
    switch (message.kind) {
      case 'figures':
        figures = message.figures
        break
      case 'minted':
        settle(message.callId, (call) => call.resolve(message.minted))
        break
      case 'mintFailed':
        settle(message.callId, (call) => call.reject(new Fault(message.code, message.message)))
        break
      case 'stopped':
        stopped.resolve()
        break
      case 'shipped':
      case 'received':
      case 'kafka':
      case 'resync':
      case 'skew':
      case 'trouble':
        pass(message, options.listener())
        break
    }
  })
  worker.on('error', (error) => failed.reject(error))
  worker.on('exit', () => {
    if (!stopping) failed.reject(new Error('the shipper thread ended'))
    stopped.resolve()
  })
  return {
    get figures() {
      return figures
    },
    failed: failed.promise,
    attach: (attachment) => send({ kind: 'attach', attachment, spool: options.placeOf(attachment.diskId) }),
    detach: (diskId) => send({ kind: 'detach', diskId }),
    beat: (statuses, stamp) => send({ kind: 'beat', statuses, stamp }),
    mint: (request) =>
      new Promise((resolve, reject) => {
        lastCallId += 1
        calls.set(lastCallId, { resolve, reject })
        send({ kind: 'mint', callId: lastCallId, request })
      }),
    stop: async () => {
      stopping = true
      send({ kind: 'stop' })
      await stopped.promise
      await worker.terminate()
    },
  }
}

type ListenerMessage = Exclude<
  FromShipper,
  { readonly kind: 'figures' | 'minted' | 'mintFailed' | 'stopped' }
>

function pass(message: ListenerMessage, listener: ShipperListener): void {
  switch (message.kind) {
    case 'shipped':
      return listener.shipped(message.diskId, message.hint)
    case 'received':
      return listener.received(message.diskId, message.position)
    case 'kafka':
      return listener.kafka(message.kafkaPartition, message.code)
    case 'resync':
      return listener.resync(message.diskId, message)
    case 'skew':
      return listener.skew(message.skew)
    case 'trouble':
      return listener.trouble(new Fault(message.code, message.message, message))
  }
}
