/*
 * The shipper's thread: binds the shipper to real Kafka, the spool files and the messages of the guest's
 * thread. An error that escapes ends the thread, and with it the process.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert, codeOf, Fault } from '@blockferry/runtime'
import { systemClock, systemRandom } from '@blockferry/runtime/service'
import { connectReplicationLog } from '@blockferry/replication-log'
import { openSegmentFollower, sharedPublishedLength } from '@blockferry/segment-log'
import { sharedBell } from './shipper/bell.ts'
import { createShipper } from './shipper/shipper.ts'
import type { ShipperListener, SpoolSource } from './shipper/shipper-ports.ts'
import type { FromShipper, ShipperThreadData, SpoolPlace, ToShipper } from './shipper/thread-messages.ts'

const figuresEveryMs = 1_000

assert(parentPort !== null, 'the shipper runs in a thread of the agent')
const port = parentPort
const data = workerData as ShipperThreadData
const places = new Map<string, SpoolPlace>()
const tell = (message: FromShipper): void => port.postMessage(message)

const listener: ShipperListener = {
  shipped: (diskId, hint) => tell({ kind: 'shipped', diskId, hint }),
  received: (diskId, position) => tell({ kind: 'received', diskId, position }),
  kafka: (kafkaPartition, code) => tell({ kind: 'kafka', kafkaPartition, code }),
  resync: (diskId, request) => tell({ kind: 'resync', diskId, ...request }),
  skew: (skew) => tell({ kind: 'skew', skew }),
  trouble: (error) => tell({ kind: 'trouble', ...described(error), nextCommand: nextCommandOf(error) }),
}

const shipper = createShipper(
  {
    clock: systemClock,
    random: systemRandom,
    connect: () =>
      connectReplicationLog({
        brokers: data.kafkaBrokers,
        kafkaClient: data.kafkaClient,
        clientId: data.clientId,
      }),
    openSpool,
    bell: sharedBell(data.bell),
    listener,
  },
  data.options,
)

async function openSpool(diskId: string): Promise<SpoolSource> {
  const place = places.get(diskId)
  assert(place !== undefined, 'a disk is attached with its place')
  const published = sharedPublishedLength(place.published)
  const follower = await openSegmentFollower({ directory: place.directory, published })
  return {
    firstLsn: () => follower.firstLsn(),
    publishedLsn: () => published.load(),
    reader: (lsn) => follower.reader(lsn),
    segmentBytes: place.segmentBytes,
  }
}

function described(error: unknown): { readonly code: string; readonly message: string } {
  return { code: codeOf(error), message: error instanceof Error ? error.message : String(error) }
}

function nextCommandOf(error: unknown): string {
  return error instanceof Fault ? error.nextCommand : ''
}

async function mint(call: Extract<ToShipper, { kind: 'mint' }>): Promise<void> {
  const { callId } = call
  try {
    tell({ kind: 'minted', callId, minted: await shipper.mint(call.request) })
  } catch (error) {
    tell({ kind: 'mintFailed', callId, ...described(error) })
  }
}

async function stop(): Promise<void> {
  clearInterval(figuresTimer)
  await shipper.stop()
  tell({ kind: 'stopped' })
  port.close()
}

const figuresTimer = setInterval(() => tell({ kind: 'figures', figures: shipper.figures }), figuresEveryMs)

port.on('message', (message: ToShipper) => {
  switch (message.kind) {
    case 'attach':
      places.set(message.attachment.diskId, message.spool)
      shipper.attach(message.attachment)
      break
    case 'detach':
      shipper.detach(message.diskId)
      break
    case 'mint':
      void mint(message)
      break
    case 'beat':
      shipper.beat(message.statuses, message.stamp)
      break
    case 'stop':
      void stop()
      break
  }
})
