import { type MemoryCluster, siteTopicSpecs } from '@blockferry/replication-log'
import { AggregatorHost } from './aggregator-host.ts'
import type { ApplierHost } from './applier-host.ts'
import type { Host } from './host.ts'
import type { MirrorHost } from './mirror-host.ts'
import type { FaultKind } from './scenario.ts'
import { seededRandom, type SimulatedRandom } from './seeded-random.ts'
import type { TapHost } from './tap-host.ts'
import type { World } from './world.ts'

export interface Hosts {
  readonly tap: TapHost
  readonly aggregators: readonly AggregatorHost[]
  readonly applier: ApplierHost
  readonly mirror: MirrorHost
}

interface Planned {
  readonly atMs: number
  readonly act: () => void
}

const lossKinds = ['acknowledgementLost', 'requestLost', 'acknowledgementLostThenRetried'] as const
/** A supervisor's patience with SIGTERM. */
const stopMsMax = 4_000

/** Breaks things by the seed, at decisions; mends each after a while, and everything at the end. */
export class Faults {
  readonly injected = new Map<FaultKind, number>()
  readonly #world: World
  readonly #hosts: Hosts
  readonly #zombie: AggregatorHost
  readonly #random: SimulatedRandom
  #planned: Planned[] = []
  #nextDecision: number
  #over = false
  /** Hosts that are down on purpose until their time. */
  readonly #resting = new Set<Host>()

  constructor(world: World, hosts: Hosts) {
    this.#world = world
    this.#hosts = hosts
    this.#random = seededRandom(world.kernel.random.uint32())
    this.#zombie = new AggregatorHost(world, { name: 'zombie', groupId: 'zombies' })
    this.#nextDecision = this.#gap()
  }

  get hosts(): readonly Host[] {
    const { aggregators, applier, mirror, tap } = this.#hosts
    return [tap, ...aggregators, applier, mirror]
  }

  /** True when it touched anything. */
  afterDecision(): boolean {
    const { decisions, nowMs } = this.#world.kernel
    let acted = this.#supervise()
    const due = this.#planned.filter((planned) => planned.atMs <= nowMs)
    if (due.length > 0) {
      this.#planned = this.#planned.filter((planned) => planned.atMs > nowMs)
      for (const { act } of due) act()
      acted = true
    }
    if (!this.#over && decisions >= this.#nextDecision && this.#world.scenario.faults.kinds.length > 0) {
      this.#nextDecision = decisions + this.#gap()
      this.#inject()
      acted = true
    }
    return acted
  }

  /** What ended by itself (SIGTERM) is started again. */
  #supervise(): boolean {
    let acted = false
    for (const host of this.hosts) {
      if (host.isUp || this.#resting.has(host)) continue
      this.#restart(host, 200)
      acted = true
    }
    return acted
  }

  /** Ends all trouble; what was planned to mend itself mends now. */
  repair(): void {
    this.#over = true
    const { clusterA, clusterB, journal } = this.#world
    this.#zombie.kill()
    this.#planned = []
    this.#resting.clear()
    for (const host of this.hosts) {
      host.pause(false)
      if (!host.isUp) host.start()
    }
    // A member that was paused lost its partitions without knowing.
    for (const host of this.#hosts.aggregators) {
      host.kill()
      host.start()
    }
    this.#hosts.mirror.linkUp = true
    this.#hosts.mirror.losesResyncStart = false
    for (const cluster of [clusterA, clusterB]) cluster.setAvailable(true)
    journal.note('faults', 'everything is repaired')
  }

  /** kill -9 of a host and its start after a while. */
  killAndRestart(host: Host, options: { readonly power?: boolean; readonly afterMs?: number } = {}): void {
    this.#world.journal.note('faults', `${options.power === true ? 'power loss' : 'kill -9'}: ${host.name}`)
    host.kill(options)
    this.#restart(host, options.afterMs ?? this.#random.pick([0, 20, 300, 2_000]))
  }

  #restart(host: Host, afterMs: number): void {
    this.#resting.add(host)
    this.#after(afterMs, () => {
      this.#resting.delete(host)
      if (host.isUp) return
      this.#world.journal.note('faults', `start: ${host.name}`)
      host.start()
    })
  }

  #after(delayMs: number, act: () => void): void {
    this.#planned.push({ atMs: this.#world.kernel.nowMs + delayMs, act })
  }

  #gap(): number {
    const mean = this.#world.scenario.faults.everyDecisions
    return Number.isFinite(mean) ? 1 + this.#random.below(2 * mean) : Infinity
  }

  #inject(): void {
    const [first, ...rest] = this.#world.scenario.faults.kinds
    if (first === undefined) return
    const kind = this.#random.pick([first, ...rest])
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
    this.#world.journal.note('faults', kind)
    this.#do(kind)
  }

  #do(kind: FaultKind): void {
    const { applier, mirror, tap } = this.#hosts
    const random = this.#random
    switch (kind) {
      case 'killTap':
        return this.killAndRestart(tap)
      case 'killAggregator':
        return this.killAndRestart(this.#anAggregator())
      case 'killApplier':
        return this.killAndRestart(applier)
      case 'powerLossAtTarget':
        return this.killAndRestart(applier, { power: true })
      case 'killMirror':
        return this.killAndRestart(mirror)
      case 'mirrorResends':
        mirror.goBack(40)
        return this.killAndRestart(mirror)
      case 'stopTap':
        return this.#stop(tap)
      case 'stopAggregator':
        return this.#stop(this.#anAggregator())
      case 'stopApplier':
        return this.#stop(applier)
      case 'pauseAny':
        return this.#pause()
      case 'zombieAggregator':
        this.#zombie.start()
        return this.#after(random.between(200, 3_000), () => this.#zombie.kill())
      case 'kafkaAAway':
        return this.#away(this.#world.clusterA, this.#world.scenario.faults.spoolMayFill ? 9_000 : 2_500)
      case 'kafkaBAway':
        return this.#away(this.#world.clusterB, 2_500)
      case 'acknowledgementLost':
        return this.#loseAcknowledgement()
      case 'linkCut':
        return this.#cutLink(() => {})
      case 'journalFails':
        return random.chance(0.5)
          ? applier.failJournalOnce('write', { code: 'ENOSPC' })
          : applier.failJournalOnce('sync', { code: 'EIO' })
      case 'retentionOutruns':
        return this.#cutLink(() => this.#outrun())
      case 'mirrorWiped':
        return this.#wipeMirror()
      case 'resyncStartLost':
        mirror.losesResyncStart = true
    }
  }

  /** Somebody deletes the mirrored updates at B; they are made again at once, or by whoever needs them. */
  #wipeMirror(): void {
    const { clusterB, scenario } = this.#world
    const topic = 'site-a.updates'
    clusterB.deleteTopic(topic)
    const specs = siteTopicSpecs({ site: 'site-b', peerSite: 'site-a', partitions: scenario.kafkaPartitions })
    const spec = specs.find((each) => each.topic === topic)
    if (spec !== undefined && this.#random.chance(0.5)) clusterB.createTopic(spec)
  }

  #anAggregator(): AggregatorHost {
    const [first, ...rest] = this.#hosts.aggregators
    return this.#random.pick([first ?? this.#zombie, ...rest])
  }

  #stop(host: Host): void {
    if (!host.isUp) return
    host.stop()
    this.#after(stopMsMax, () => {
      if (!this.#stoppedInTime(host)) this.killAndRestart(host)
    })
  }

  /** A host that went down and came back meanwhile did its duty; it is killed all the same, which it must bear. */
  #stoppedInTime(host: Host): boolean {
    return !host.isUp || this.#random.chance(0.5)
  }

  #pause(): void {
    const [first, ...rest] = this.hosts
    if (first === undefined) return
    const host = this.#random.pick([first, ...rest])
    this.#world.journal.note('faults', `pause ${host.name}`)
    host.pause(true)
    this.#after(this.#random.between(50, 2_500), () => {
      host.pause(false)
      if (host instanceof AggregatorHost)
        this.#after(this.#random.below(600), () => this.killAndRestart(host))
    })
  }

  #away(cluster: MemoryCluster, msMax: number): void {
    cluster.setAvailable(false)
    this.#after(this.#random.between(20, msMax), () => cluster.setAvailable(true))
  }

  #loseAcknowledgement(): void {
    const { clusterA, clusterB, scenario } = this.#world
    const kafkaPartition = this.#random.below(scenario.kafkaPartitions)
    const failure = this.#random.pick(lossKinds)
    const [cluster, topic] = this.#random.pick<readonly [MemoryCluster, string]>([
      [clusterA, 'writes'],
      [clusterA, 'updates'],
      [clusterA, 'disks'],
      [clusterB, 'positions'],
    ])
    const isStream = topic === 'writes' || topic === 'updates'
    cluster.failNextProduce({ topic, kafkaPartition: isStream ? kafkaPartition : 0 }, failure)
  }

  #cutLink(before: () => void): void {
    const { mirror } = this.#hosts
    mirror.linkUp = false
    this.#after(this.#random.between(50, 3_000), () => {
      before()
      mirror.linkUp = true
    })
  }

  /** Retention takes at A what the mirror has not carried over yet. */
  #outrun(): void {
    const { clusterA, journal, scenario } = this.#world
    for (let kafkaPartition = 0; kafkaPartition < scenario.kafkaPartitions; kafkaPartition += 1) {
      const partition = { topic: 'updates', kafkaPartition }
      const { latest } = clusterA.partition(partition)
      const kept = BigInt(this.#random.below(4))
      if (latest <= kept) continue
      clusterA.truncateBefore(partition, latest - kept)
      journal.note('faults', `updates/${kafkaPartition} begins at ${latest - kept} now`)
    }
  }
}
