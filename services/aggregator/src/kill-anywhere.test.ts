import type { WriteGroup } from '@blockferry/disk-stream'
import { type Choose, chooseFromTape, runCount, type StreamModel } from '@blockferry/disk-stream/testing'
import type { MemoryStepPoint } from '@blockferry/replication-log'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkOutput, isDrained } from '../testing/check-output.ts'
import { generationOf, modelDisk, ModelApplier, Rig } from '../testing/rig.ts'

const output = { topic: 'updates', kafkaPartition: 0 }
const failures = ['requestLost', 'acknowledgementLost', 'acknowledgementLostThenRetried'] as const
const roundsMax = 25

/** Kills the running member at its n-th step and starts the next one. */
class Killer {
  readonly rig: Rig
  #left = Infinity
  #generation = 0

  constructor(aggregator: { readonly windowAgeMsMax: number }) {
    this.rig = new Rig({ aggregator, step: (point) => this.#step(point) })
    this.startNext()
  }

  get current(): string {
    return `member-${this.#generation}`
  }

  startNext(): void {
    this.#generation += 1
    this.rig.start(this.current)
  }

  killAfter(steps: number): void {
    this.#left = steps
  }

  async #step(point: MemoryStepPoint): Promise<void> {
    if (point.clientId !== this.current) return
    this.#left -= 1
    if (this.#left >= 0) return
    this.#left = Infinity
    this.rig.kill(this.current)
    this.startNext()
  }
}

function writeSomething(disk: StreamModel, choose: Choose): void {
  const kind = choose(12)
  if (kind === 0) {
    disk.append({ kind: 'zero', capturedAtMs: 0, byteOffset: choose(200), byteLength: 9, mayUnmap: true })
  } else if (kind === 1) disk.append({ kind: 'geometry', capturedAtMs: 0, sizeBytes: 256 })
  else if (kind === 2) {
    disk.begin(generationOf(disk.generations.length + 1))
    disk.syncRead({ byteOffset: 0, byteLength: 256 })
  } else disk.write(choose(240), Buffer.alloc(1 + choose(16), 1 + choose(255)))
}

/** Sends what is new of a disk's newest generation, sometimes with part of what went before. */
class Sender {
  readonly #rig: Rig
  readonly #regroup: boolean
  readonly #sent = new Map<string, WriteGroup[]>()

  /** `regroup`: what is sent again comes in other groups, as after a restart of the tap. */
  constructor(rig: Rig, regroup: boolean) {
    this.#rig = rig
    this.#regroup = regroup
  }

  async send(disk: StreamModel, choose: Choose): Promise<void> {
    const number = disk.generations.length
    const key = `${disk.diskId}/${number}`
    const sent = this.#sent.get(key) ?? []
    const again = choose(3) === 0 ? sent.slice(choose(sent.length + 1)) : []
    const end = sent.at(-1)
    const next = end === undefined ? 1 : end.firstSequence + end.events.length
    const from = this.#regroup ? (again[0]?.firstSequence ?? next) : next
    const fresh = disk.groups(number, { from, choose })
    const groups = this.#regroup ? fresh : [...again, ...fresh]
    const flagged = choose(2) === 0 && again.length > 0
    await this.#rig.send(groups.map((group, index) => ({ ...group, resend: flagged && index === 0 })))
    this.#sent.set(key, [...sent.filter((group) => group.firstSequence < from), ...fresh])
  }
}

/** One run; afterwards everything was sent and the output holds its end. */
async function runOnce(
  tape: readonly number[],
  regroup: boolean,
): Promise<{ rig: Rig; disks: StreamModel[] }> {
  const choose = chooseFromTape(tape)
  const killer = new Killer({ windowAgeMsMax: 1 + choose(60) })
  const { rig } = killer
  const disks = ['vda', 'vdb', 'vdc'].map(modelDisk)
  const sender = new Sender(rig, regroup)
  for (let round = 0; round < roundsMax; round += 1) {
    const disk = disks[choose(disks.length)] as StreamModel
    for (let writes = choose(6); writes >= 0; writes -= 1) writeSomething(disk, choose)
    await sender.send(disk, choose)
    if (choose(4) === 0) await rig.sendHeartbeat('agent')
    if (choose(5) === 0) rig.cluster.failNextProduce(output, failures[choose(3)] ?? 'requestLost')
    if (choose(4) === 0) killer.killAfter(choose(8))
    if (choose(9) === 0) rig.start(`other-${round}`, { groupId: `other-${round}` })
    await rig.clock.pass(choose(40))
  }
  for (const disk of disks) {
    disk.write(0, Buffer.alloc(8, 0xee))
    await sender.send(disk, choose)
  }
  await rig.clock.until(() => isDrained(rig, disks), { stepMs: 200 })
  await rig.clock.pass(500)
  return { rig, disks }
}

function expectSource(applier: ModelApplier, disks: readonly StreamModel[]): void {
  for (const disk of disks) {
    const image = applier.images.get(disk.diskId)
    expect(image?.lineage.applied).toEqual(disk.end)
    expect(image?.bytes.bytes.equals(disk.source.bytes)).toBe(true)
  }
}

const tapes = fc.array(fc.nat({ max: 10_000 }), { minLength: 50, maxLength: 600 })

test('killed at any step, doubled, with lost answers and late duplicates: the output gives the source without a gap, and every resumeInputOffset is true', async () => {
  const property = fc.asyncProperty(tapes, async (tape) => {
    const { rig, disks } = await runOnce(tape, false)
    const applier = checkOutput(rig)
    expect(applier.halts).toEqual([])
    expectSource(applier, disks)
  })
  await fc.assert(property, { numRuns: runCount(25), endOnFailure: true })
})

test('what the tap sends again in other groups leaves at worst a GAP, which the re-send it asks for heals', async () => {
  const property = fc.asyncProperty(tapes, async (tape) => {
    const { rig, disks } = await runOnce(tape, true)
    const applier = new ModelApplier()
    for (const set of rig.sets()) applier.take(set)
    expect(applier.halts.every((verdict) => verdict.kind === 'halt' && verdict.code === 'GAP')).toBe(true)
    const before = rig.sets().length
    for (const disk of disks) {
      const applied = applier.images.get(disk.diskId)?.lineage.applied
      const first = applied?.generationId === disk.end.generationId ? applied.sequence + 1 : 1
      const last = disk.end.sequence
      for (let at = first; at <= last; at += 1) {
        await rig.send([disk.group(disk.generations.length, { first: at, last: at, resend: at === first })])
      }
    }
    await rig.clock.pass(2000)
    for (const set of rig.sets().slice(before)) applier.take(set)
    expectSource(applier, disks)
  })
  await fc.assert(property, { numRuns: runCount(15), endOnFailure: true })
})
