import { judge } from '@blockferry/disk-stream'
import type { Generation, Heartbeat, Lineage, UpdateSet, Verdict, WriteGroup } from '@blockferry/disk-stream'
import { accept, emptyLineage } from '@blockferry/disk-stream'
import { ByteModel, StreamModel } from '@blockferry/disk-stream/testing'
import { createMemoryCluster, type MemoryCluster, type MemoryStep } from '@blockferry/replication-log'
import { MiB, type Random } from '@blockferry/runtime'
import {
  decodeRecord,
  encodeHeartbeat,
  encodeWriteGroup,
  packPayloadSync,
  unpackPayloadSync,
} from '@blockferry/schemas'
import { type Aggregator, createAggregator } from '../src/aggregator.ts'
import { defaultAggregatorOptions } from '../src/defaults.ts'
import type { AggregatorDeps, AggregatorMeter, AggregatorOptions } from '../src/ports.ts'
import { ManualClock } from './manual-clock.ts'

/* One memory cluster, some disks, and aggregators that are started and killed at will. */

const diskBytes = 256

export function generationOf(number: number, base: Generation['base'] = { kind: 'full' }): Generation {
  return {
    number,
    id: number.toString(16).padStart(32, 'a'),
    ownerSite: 'site-a',
    reason: 'resync',
    base,
    predecessor: null,
    stamp: { agentId: 'agent', counter: number },
  }
}

export function heartbeatOf(agentId: string): Heartbeat {
  const stamp = { agentId, counter: 1 }
  return {
    agentId,
    site: 'site-a',
    sourceTimeMs: 1,
    stamp,
    clockSkew: null,
    disks: [],
    resumeInputOffset: null,
  }
}

/** A model disk whose first generation is a whole resync of zeroes. */
export function modelDisk(diskId: string): StreamModel {
  const disk = new StreamModel({ diskId, bytes: Buffer.alloc(diskBytes) })
  disk.begin(generationOf(1))
  return disk
}

/** Numbers one write of 8 bytes of the model and returns it as a group of its own. */
export function writeGroup(disk: StreamModel, byteOffset: number, fill: number): WriteGroup {
  const { sequence } = disk.write(byteOffset, Buffer.alloc(8, fill))
  return disk.group(disk.generations.length, { first: sequence, last: sequence })
}

/** What was counted, by name. */
export class CountingMeter implements AggregatorMeter {
  readonly closedBy: Record<string, number> = {}
  readonly failures: string[] = []
  readonly passedOver: string[] = []
  droppedEvents = 0
  groups = 0
  batches = 0

  groupRead(group: { droppedEvents: number }): void {
    this.groups += 1
    this.droppedEvents += group.droppedEvents
  }
  setFolded(set: { closedBy: string }): void {
    this.closedBy[set.closedBy] = (this.closedBy[set.closedBy] ?? 0) + 1
  }
  produced(): void {
    this.batches += 1
  }
  recordPassedOver(code: string): void {
    this.passedOver.push(code)
  }
  kafkaFailed(code: string): void {
    this.failures.push(code)
  }
  heartbeatPassed(): void {}
  setPacked(): void {}
  recordUnreadable(): void {}
}

export interface Member {
  readonly name: string
  readonly aggregator: Aggregator
  readonly meter: CountingMeter
  /** Settles when it has stopped; a killed one never does. */
  readonly running: Promise<void>
  stop(): Promise<void>
}

export interface RigOptions {
  readonly partitions?: number
  readonly step?: MemoryStep
  readonly aggregator?: Partial<AggregatorOptions>
  /** Of every member. */
  readonly groupInstanceId?: string
  readonly pack?: AggregatorDeps['pack']
}

export class Rig {
  readonly clock = new ManualClock()
  readonly cluster: MemoryCluster
  readonly log: { readonly event: string; readonly code: string | undefined }[] = []
  readonly #options: RigOptions
  readonly #dead = new Set<string>()
  #randomState = 1

  constructor(options: RigOptions = {}) {
    this.#options = options
    this.cluster = createMemoryCluster({
      clock: this.clock,
      step: async (point) => {
        await options.step?.(point)
        if (this.#dead.has(point.clientId)) await new Promise(() => {})
      },
    })
    const config = { 'max.message.bytes': String(8 * MiB) }
    const partitions = options.partitions ?? 1
    for (const topic of ['writes', 'updates']) this.cluster.createTopic({ topic, partitions, config })
  }

  start(name: string, options: Partial<AggregatorOptions> = {}): Member {
    const meter = new CountingMeter()
    const stop = new AbortController()
    const { groupInstanceId } = this.#options
    const named = groupInstanceId === undefined ? {} : { groupInstanceId }
    const aggregator = createAggregator(
      {
        clock: this.clock,
        random: this.#random(),
        connectLog: async () => this.cluster.connect({ clientId: name, ...named }),
        pack: this.#options.pack ?? (async (data) => packPayloadSync(data)),
        logger: this.#logger(),
        meter,
      },
      { ...defaultAggregatorOptions, topics: [], ...this.#options.aggregator, ...options },
    )
    const running = aggregator.run(stop.signal)
    return { name, aggregator, meter, running, stop: async () => this.#stop(stop, running) }
  }

  /** kill -9: nothing the member does reaches the cluster any more; its group membership expires. */
  kill(name: string): void {
    this.#dead.add(name)
    void this.cluster.crashClient(name)
  }

  async send(groups: readonly WriteGroup[], kafkaPartition = 0): Promise<void> {
    for (const group of groups) {
      await this.append({ key: group.diskId, value: encodeWriteGroup(group) }, kafkaPartition)
    }
  }

  async sendHeartbeat(agentId: string, kafkaPartition = 0): Promise<void> {
    await this.append({ key: agentId, value: encodeHeartbeat(heartbeatOf(agentId)) }, kafkaPartition)
  }

  async append(record: { key: string; value: Buffer }, kafkaPartition = 0): Promise<void> {
    const log = this.cluster.connect({ clientId: 'tap' })
    const records = [{ key: Buffer.from(record.key), value: record.value }]
    await log.produce({ topic: 'writes', kafkaPartition, records })
  }

  /** The output of a partition, decoded. */
  output(kafkaPartition = 0): readonly (UpdateSet | Heartbeat)[] {
    return this.cluster.records({ topic: 'updates', kafkaPartition }).map(({ value }) => {
      const any = decodeRecord(value)
      if (any.kind !== 'UpdateSet' && any.kind !== 'Heartbeat') throw new Error(`a ${any.kind} in the output`)
      return any.record
    })
  }

  sets(kafkaPartition = 0): readonly UpdateSet[] {
    return this.output(kafkaPartition).filter((record) => 'extents' in record)
  }

  async #stop(controller: AbortController, running: Promise<void>): Promise<void> {
    controller.abort()
    let ended = false
    void running.finally(() => (ended = true))
    await this.clock.until(() => ended)
    await running
  }

  #logger() {
    const note = (fields: Readonly<Record<string, unknown>>): void => {
      const error = fields['err'] as { code?: string } | undefined
      this.log.push({ event: String(fields['event']), code: error?.code })
    }
    return { info: note, warn: note, error: note }
  }

  #random(): Random {
    const uint32 = (): number => {
      this.#randomState = (Math.imul(this.#randomState, 1_664_525) + 1_013_904_223) >>> 0
      return this.#randomState
    }
    return { uint32, hex: (byteLength) => 'a'.repeat(2 * byteLength) }
  }
}

/** An applier of one output partition, reduced to the apply rule and byte arrays. */
export class ModelApplier {
  readonly images = new Map<string, { lineage: Lineage; bytes: ByteModel }>()
  readonly verdicts: Verdict[] = []

  take(set: UpdateSet): Verdict {
    const image = this.images.get(set.diskId) ?? {
      lineage: emptyLineage,
      bytes: new ByteModel(Buffer.alloc(diskBytes)),
    }
    this.images.set(set.diskId, image)
    const verdict = judge(image.lineage, set, {
      descriptor: { ownerSite: 'site-a', generation: 0, generationId: '' },
      ownerWaitExpired: true,
    })
    this.verdicts.push(verdict)
    if (verdict.kind !== 'accept') return verdict
    image.bytes.applySet(set.extents, unpackPayloadSync(set))
    image.lineage = accept(image.lineage, set)
    return verdict
  }

  /** True when the image holds that place of the stream, or has moved on to a newer generation. */
  holds(diskId: string, place: { readonly generation: number; readonly sequence: number }): boolean {
    const applied = this.images.get(diskId)?.lineage.applied
    if (applied === null || applied === undefined) return false
    if (applied.generation !== place.generation) return applied.generation > place.generation
    return applied.sequence >= place.sequence
  }

  get halts(): readonly Verdict[] {
    return this.verdicts.filter(({ kind }) => kind === 'halt')
  }
}
