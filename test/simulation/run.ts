import { assert } from '@blockferry/runtime'
import { AggregatorHost, foldingBytesMax } from './aggregator-host.ts'
import { ApplierHost } from './applier-host.ts'
import { Faults, type Hosts } from './faults.ts'
import { checkDrained, isDrained } from './final-check.ts'
import { Guests } from './guests.ts'
import { ImageCheck } from './image-check.ts'
import { MirrorHost } from './mirror-host.ts'
import type { Scenario } from './scenario.ts'
import { TapHost } from './tap-host.ts'
import { World } from './world.ts'

/** After the faults end, a run must drain within these bounds. */
const drainDecisionsMax = 1_500_000
const drainMsMax = 120_000
/** Operations that wait at ports at one time, over all processes. */
const waitingMax = 600
/** What windows may hold beyond their budget: one fetch. */
const foldingSlackBytes = 3 * 1024 * 1024
const checkEveryDecisions = 16

export interface Outcome {
  readonly seed: number
  readonly digest: string
  readonly decisions: number
  readonly simulatedMs: number
  readonly changes: number
  readonly acknowledged: number
  readonly imagesChecked: number
  readonly sourcesChecked: number
  readonly generations: number
  readonly recoveryPoints: number
  readonly faults: Readonly<Record<string, number>>
}

/** A run that broke a rule, with what went before. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure'
  readonly digest: string

  constructor(message: string, options: ErrorOptions & { readonly digest: string }) {
    super(message, options)
    this.digest = options.digest
  }
}

export interface RunOptions {
  readonly print?: (line: string) => void
  /** Called after each decision while faults may happen; returns true when it did something. */
  readonly interfere?: (run: SimulationRun) => boolean
}

/** One seed from its first decision to the last check. */
export class SimulationRun {
  readonly world: World
  readonly hosts: Hosts
  readonly guests: Guests
  readonly faults: Faults
  readonly #check: ImageCheck
  readonly #options: RunOptions

  constructor(scenario: Scenario, options: RunOptions = {}) {
    this.#options = options
    this.world = new World(scenario, options.print)
    const { world } = this
    const tap = new TapHost(world)
    const aggregators = Array.from(
      { length: scenario.aggregators },
      (_, at) => new AggregatorHost(world, { name: `aggregator-${at}`, groupId: 'aggregators' }),
    )
    this.hosts = { tap, aggregators, applier: new ApplierHost(world), mirror: new MirrorHost(world) }
    this.guests = new Guests(world, tap)
    this.#check = new ImageCheck(world, this.hosts, this.guests)
    this.faults = new Faults(world, this.hosts)
    this.hosts.applier.onOpened = () => this.#check.reopened()
  }

  async run(): Promise<Outcome> {
    try {
      await this.#chaos()
      await this.#drain()
      checkDrained(this.world, this.hosts, this.guests)
      return this.#outcome()
    } catch (cause) {
      const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
      const digest = this.world.kernel.digest.toString()
      throw new SimulationFailure(reason, { cause, digest })
    } finally {
      for (const host of this.faults.hosts) host.kill()
      this.world.end()
    }
  }

  async #chaos(): Promise<void> {
    const { kernel, scenario } = this.world
    for (const host of this.faults.hosts) host.start()
    this.guests.start()
    await kernel.settle()
    while (kernel.nowMs < scenario.chaosMs) {
      await this.#decide()
      const interfered = this.#options.interfere?.(this) === true
      if (this.faults.afterDecision() || interfered) await kernel.settle()
    }
  }

  async #drain(): Promise<void> {
    const { kernel } = this.world
    this.faults.repair()
    this.guests.stop()
    await kernel.settle()
    const endDecisions = kernel.decisions + drainDecisionsMax
    const endMs = kernel.nowMs + drainMsMax
    while (!isDrained(this.hosts, this.guests)) {
      await this.#decide()
      if (this.faults.afterDecision()) await kernel.settle()
      assert(kernel.decisions < endDecisions, `liveness: not drained after ${drainDecisionsMax} decisions`)
      assert(kernel.nowMs < endMs, `liveness: not drained after ${drainMsMax} ms: ${this.#where()}`)
    }
    this.#check.offered({ thorough: true })
  }

  #where(): string {
    const source = this.hosts.tap.serving?.agent.statuses() ?? []
    const lines = source.map(({ code, diskId, position, state }) => {
      const disk = this.hosts.applier.applier?.volume.disks.get(diskId)
      const at = (place: typeof position | undefined) => `${place?.generation ?? 0}.${place?.sequence ?? 0}`
      const target = `received ${at(disk?.received.applied)}, applied ${at(disk?.applied.applied)}`
      return `${diskId} ${state} ${code ?? ''} ${at(position)}: ${target} ${disk?.halt?.code ?? ''}`
    })
    return lines.join('; ')
  }

  async #decide(): Promise<void> {
    const { world } = this
    const { kernel } = world
    const moved = await kernel.decide()
    assert(moved, 'liveness: nothing is left to happen')
    if (world.broken !== null) {
      const { error, who } = world.broken
      throw new Error(`${who}: ${String(error)}`, { cause: error })
    }
    if (kernel.decisions % checkEveryDecisions !== 0) return
    const thorough = kernel.decisions % (64 * checkEveryDecisions) === 0
    this.#check.offered({ thorough })
    if (kernel.decisions % (8 * checkEveryDecisions) === 0) this.#check.sources()
    this.#bounds()
  }

  /** G9. */
  #bounds(): void {
    const { kernel, scenario } = this.world
    assert(kernel.waiting < waitingMax, `G9: ${kernel.waiting} operations wait`)
    for (const { aggregator, name } of this.hosts.aggregators) {
      const heldBytes = aggregator?.status.heldBytes ?? 0
      assert(heldBytes <= foldingBytesMax + foldingSlackBytes, `G9: ${name} holds ${heldBytes} bytes`)
    }
    const journalBytes = this.hosts.applier.applier?.volume.journal.allocatedBytes ?? 0
    assert(journalBytes <= scenario.applier.journalBytesMax, `G9: the redo journal has ${journalBytes} bytes`)
    for (const { diskId, spoolBytes } of this.hosts.tap.serving?.agent.statuses() ?? []) {
      assert(spoolBytes <= scenario.tap.spoolBytesMax, `G9: the spool of ${diskId} has ${spoolBytes} bytes`)
    }
  }

  #outcome(): Outcome {
    const { kernel, scenario } = this.world
    const records = [...this.hosts.tap.disks.values()].map(({ record }) => record)
    return {
      seed: scenario.seed,
      digest: kernel.digest.toString(),
      decisions: kernel.decisions,
      simulatedMs: Math.round(kernel.nowMs),
      changes: this.guests.changes.length,
      acknowledged: this.guests.acknowledged,
      imagesChecked: this.#check.imagesChecked,
      sourcesChecked: this.#check.sourcesChecked,
      generations: records.reduce((sum, record) => sum + record.eras.size, 0),
      recoveryPoints: this.hosts.applier.applier?.volume.index.count ?? 0,
      faults: Object.fromEntries(this.faults.injected),
    }
  }
}
