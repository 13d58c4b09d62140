import type { Random } from '@blockferry/runtime'
import { codeOf, Fault } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SegmentFailure, SegmentOperation } from './faulty-segment-files.ts'
import { faultySegmentFiles } from './faulty-segment-files.ts'
import { MemorySegmentDirectory } from './memory-segment-files.ts'
import { openSegmentLogOn } from './open-segment-log.ts'
import { segmentStartOf } from './segment-header.ts'
import type { SegmentLog } from './segment-log.ts'
import { AppendHistory, readAll } from './testing/append-history.ts'
import { seededRandom } from './testing/seeded-random.ts'

const longRun = process.env.BLOCKFERRY_TEST_COUNTS === 'long'
const limits = { segmentBytes: 4096, bytesMax: 40 * 4096 }

interface AppendStep {
  readonly kind: 'append' | 'appendFails' | 'createFails'
  readonly sizes: readonly number[]
  readonly landedBytes: number
  readonly cutFails: boolean
}

type Step =
  | AppendStep
  | { readonly kind: 'sync' }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'deleteBefore'; readonly share: number }
  | {
      readonly kind: 'kill' | 'powerLoss'
      readonly sizes: readonly number[]
      readonly share: number
      readonly afterSteps: number
    }

/** Around what just fits a segment, and any remainder of 8. */
const size = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc.integer({ min: 3900, max: 4000 }),
  fc.integer({ min: 0, max: 4000 }),
)
const sizes = fc.array(size, { minLength: 1, maxLength: 6 })
const share = fc.double({ min: 0, max: 1, noNaN: true })
const appendStep: fc.Arbitrary<AppendStep> = fc.record({
  kind: fc.constantFrom<AppendStep['kind'][]>('append', 'append', 'append', 'appendFails', 'createFails'),
  sizes,
  landedBytes: fc.oneof(fc.integer({ min: 0, max: 8000 }), fc.constant(1e9)),
  cutFails: fc.boolean(),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: appendStep },
  { weight: 3, arbitrary: fc.constantFrom<Step[]>({ kind: 'sync' }, { kind: 'reopen' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('deleteBefore'), share }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('kill', 'powerLoss'),
      sizes,
      share,
      afterSteps: fc.integer({ min: 0, max: 30 }),
    }),
  },
)

test('whatever was acknowledged is read back, whole appends only, over failures, crashes and power loss (O1, W1–W3)', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), fc.nat(), async (steps, seed) => {
      const run = await Run.start(seededRandom(seed))
      for (const each of [...steps, { kind: 'reopen' } as const]) await run.take(each)
    }),
    { numRuns: longRun ? 4_000 : 150 },
  )
})

/** One log, its model, and a process that can be killed between any two steps. */
class Run {
  readonly #directory = new MemorySegmentDirectory()
  readonly #history = new AppendHistory()
  readonly #random: Random
  #log!: SegmentLog
  #durableThrough = 0
  #failures: { readonly operation: SegmentOperation; readonly failure: SegmentFailure }[] = []
  #stepsLeft = Infinity
  #onKill: () => void = () => {}
  #bodySerial = 0

  private constructor(random: Random) {
    this.#random = random
  }

  static async start(random: Random): Promise<Run> {
    const run = new Run(random)
    await run.#open()
    return run
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'sync') await this.#sync()
    else if (step.kind === 'reopen') await this.#reopen()
    else if (step.kind === 'deleteBefore') await this.#deleteBefore(step.share)
    else if ('afterSteps' in step) await this.#die(step)
    else await this.#append(step)
  }

  async #append(step: AppendStep): Promise<void> {
    const bodies = this.#bodies(step.sizes)
    if (step.kind === 'appendFails') this.#fail('write', { code: 'EIO', landedBytes: step.landedBytes })
    if (step.kind === 'createFails') this.#fail('create', { code: 'ENOSPC' })
    if (step.kind !== 'append' && step.cutFails) this.#fail('zero', { code: 'EIO' })
    try {
      this.#history.acknowledge(bodies, await this.#log.append(bodies.map(asBuffers)))
    } catch (error) {
      expect(['LOG_FULL', 'LOG_IO', 'LOG_NO_SPACE']).toContain(codeOf(error))
      // W2's exceptions: what landed and could not be taken back, or not durably.
      const takenBack = !(error instanceof Fault) || (error.details['cutFailed'] ?? null) === null
      this.#history.doubt(bodies, takenBack)
    }
    this.#failures = []
    const frames = await readAll(this.#log)
    expect(this.#history.explainsAll(frames, this.#log.firstLsn)).toBe(true)
  }

  async #sync(): Promise<void> {
    const appendedThrough = this.#log.appendedThrough
    await this.#log.sync()
    expect(this.#log.durableThrough).toBe(appendedThrough)
    this.#durableThrough = appendedThrough
  }

  async #deleteBefore(ofLog: number): Promise<void> {
    const before = this.#log.firstLsn
    const lsn = Math.floor(this.#log.appendedThrough * ofLog)
    const first = await this.#log.deleteBefore(lsn)
    expect(first).toBe(this.#log.segmentStarts()[0])
    // Whole segments only: what the first kept one starts with lies at or below the LSN.
    if (first !== before) expect(segmentStartOf(first, limits.segmentBytes)).toBeLessThanOrEqual(lsn)
  }

  async #reopen(): Promise<void> {
    await this.#log.close()
    await this.#open()
    await this.#settle('kill')
  }

  /** Kills the process some steps into an append, a sync and a delete that run at once. */
  async #die(step: Extract<Step, { afterSteps: number }>): Promise<void> {
    const bodies = this.#bodies(step.sizes)
    const killed = new Promise<void>((resolve) => (this.#onKill = resolve))
    // What the dead process had resolved without having looked at it, nobody was told.
    const process = { isDead: false, isAcknowledged: false }
    this.#stepsLeft = step.afterSteps
    const append = this.#log.append(bodies.map(asBuffers)).then((lsns) => {
      if (process.isDead) return
      this.#history.acknowledge(bodies, lsns)
      process.isAcknowledged = true
    })
    const calls = [
      append,
      this.#syncDuring(process),
      this.#log.deleteBefore(Math.floor(this.#log.appendedThrough * step.share)),
    ]
    await Promise.race([killed, Promise.allSettled(calls)])
    process.isDead = true
    if (!process.isAcknowledged) this.#history.doubt(bodies, false)
    this.#stepsLeft = Infinity
    this.#directory.crash({ loseUnflushed: step.kind === 'kill' ? false : this.#random })
    const { corruptAtLsn } = await this.#open(step.kind === 'powerLoss' ? this.#durableThrough : undefined)
    if (step.kind === 'kill') expect(corruptAtLsn).toBe(null)
    await this.#settle(step.kind)
  }

  async #syncDuring(process: { readonly isDead: boolean }): Promise<void> {
    const appendedThrough = this.#log.appendedThrough
    await this.#log.sync()
    if (!process.isDead) this.#durableThrough = appendedThrough
  }

  async #settle(kind: 'kill' | 'powerLoss'): Promise<void> {
    const found = await readAll(this.#log)
    const { firstLsn } = this.#log
    if (kind === 'kill') expect(this.#history.explainsAll(found, firstLsn)).toBe(true)
    else
      expect(this.#history.explainsPrefix(found, { firstLsn, durableThrough: this.#durableThrough })).toBe(
        true,
      )
    this.#history.settle(found, firstLsn)
  }

  async #open(scanFrom?: number): Promise<{ readonly corruptAtLsn: number | null }> {
    const files = faultySegmentFiles(
      this.#directory.open(() => this.#step(), this.#random),
      (operation) => {
        const [next] = this.#failures
        if (next?.operation !== operation) return null
        this.#failures.shift()
        return next.failure
      },
    )
    const opened = await openSegmentLogOn(files, {
      limits,
      random: this.#random,
      ...(scanFrom === undefined ? {} : { scanFrom }),
    })
    this.#log = opened.log
    return opened.recovery
  }

  #step(): Promise<void> {
    this.#stepsLeft -= 1
    if (this.#stepsLeft >= 0) return Promise.resolve()
    this.#onKill()
    return new Promise<never>(() => {})
  }

  #fail(operation: SegmentOperation, failure: SegmentFailure): void {
    this.#failures.push({ operation, failure })
  }

  #bodies(ofSizes: readonly number[]): readonly string[] {
    return ofSizes.map((bytes) => {
      this.#bodySerial += 1
      return `${this.#bodySerial};`.repeat(bytes).slice(0, bytes)
    })
  }
}

/** In two parts, as a body may come. */
function asBuffers(body: string): readonly Buffer[] {
  const bytes = Buffer.from(body, 'latin1')
  return [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)]
}
