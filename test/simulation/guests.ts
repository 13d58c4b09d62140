import { writeBytesMax } from '@blockferry/disk-stream'
import { codeOf } from '@blockferry/runtime'
import { nbdExportOf } from '@blockferry/tap-agent'
import { dataOf, type GuestChange, GuestModel, sectorBytes } from './guest-model.ts'
import type { SimulatedProcess } from './kernel.ts'
import { seededRandom, type SimulatedRandom } from './seeded-random.ts'
import type { TapHost } from './tap-host.ts'
import type { DiskPlan } from './scenario.ts'
import type { World } from './world.ts'

/** A request that has no reply yet. */
interface Request {
  readonly change: GuestChange | null
  readonly lose: () => void
}

type Wanted = Pick<GuestChange, 'kind' | 'firstSector' | 'sectors'>

const reconnectMs = 40

/** The guests of all disks: concurrent, overlapping changes and reads, with and without retry after a lost connection. */
export class Guests {
  readonly models = new Map<string, GuestModel>()
  readonly changes: GuestChange[] = []
  acknowledged = 0
  reads = 0
  readonly #world: World
  readonly #tap: TapHost
  readonly #process: SimulatedProcess
  readonly #pieces = new Map<number, number>()
  readonly #requests = new Set<Request>()
  #order = 0
  #lastTag = 0
  #stopped = false
  #working = 0
  /** Requests that the tap has taken and not yet answered. */
  #taken = 0

  constructor(world: World, tap: TapHost) {
    this.#world = world
    this.#tap = tap
    this.#process = world.kernel.process('guests')
    tap.onDown = () => this.#connectionsBroke()
    tap.requestsTaken = () => this.#taken
    tap.piecesOf = (tag) => this.#pieces.get(tag) ?? 1
    for (const plan of world.scenario.disks) this.#fill(plan)
  }

  /** True when no request is under way and none will come. */
  get isDone(): boolean {
    return this.#stopped && this.#working === 0
  }

  requestsOn(diskId: string): number {
    return [...this.#requests].filter(({ change }) => change === null || change.diskId === diskId).length
  }

  /** What the disk holds before anybody protects it. */
  #fill(plan: DiskPlan): void {
    const model = new GuestModel(plan.diskId, plan.sizeBytes)
    this.models.set(plan.diskId, model)
    const random = seededRandom(this.#world.kernel.random.uint32())
    const sectors = 32
    for (let firstSector = 0; firstSector < model.sectors; firstSector += sectors) {
      if (!random.chance(plan.filled)) continue
      const length = Math.min(sectors, model.sectors - firstSector)
      const change = this.#issue(plan.diskId, { kind: 'write', firstSector, sectors: length })
      const data = dataOf(change.tag, change)
      this.#tap.disks.get(plan.diskId)?.medium.write(firstSector * sectorBytes, data)
      this.#acknowledge(change)
    }
  }

  #acknowledge(change: GuestChange): void {
    this.models.get(change.diskId)?.acknowledge(change, this.#tick())
    this.#tap.disks.get(change.diskId)?.record.acknowledged(change.tag)
  }

  start(): void {
    const { disks, guests } = this.#world.scenario
    for (const { diskId } of disks) {
      for (let worker = 0; worker < guests.workersPerDisk; worker += 1)
        this.#run((random) => this.#work(diskId, random))
    }
    const pair = disks.filter((disk) => disk.groupId !== null).map((disk) => disk.diskId)
    this.#run((random) => this.#depend(pair, random))
  }

  stop(): void {
    this.#stopped = true
  }

  #run(work: (random: SimulatedRandom) => Promise<void>): void {
    const random = seededRandom(this.#world.kernel.random.uint32())
    this.#working += 1
    this.#world.run(this.#process, async () => {
      await work(random)
      this.#working -= 1
    })
  }

  async #think(random: SimulatedRandom): Promise<void> {
    const { kernel, scenario } = this.#world
    await kernel.step(this.#process, random.below(scenario.guests.thinkMsMax))
  }

  async #work(diskId: string, random: SimulatedRandom): Promise<void> {
    while (!this.#stopped) {
      await this.#think(random)
      const dice = random.below(100)
      if (dice < 10) await this.#read(diskId, random)
      else if (dice < 14) await this.#request({ diskId, change: null, call: (disk) => disk.flush() })
      else await this.#change(diskId, this.#draw(diskId, random), random.chance(0.1))
    }
  }

  /** Each change is issued after the one before, on the other disk, was acknowledged (G3). */
  async #depend(pair: readonly string[], random: SimulatedRandom): Promise<void> {
    for (let turn = 0; !this.#stopped; turn += 1) {
      const diskId = pair[turn % pair.length] ?? ''
      if (random.chance(0.2)) await this.#think(random)
      else await this.#world.kernel.step(this.#process, random.below(8))
      const firstSector = random.below((this.models.get(diskId)?.sectors ?? 1) - 8)
      await this.#change(diskId, { kind: 'write', firstSector, sectors: random.between(1, 4) }, false)
    }
  }

  #draw(diskId: string, random: SimulatedRandom): Wanted {
    const total = this.models.get(diskId)?.sectors ?? 0
    const isLarge = random.below(100) < this.#world.scenario.guests.largePercent
    const sectorsMax = isLarge ? 640 : random.pick([1, 8, 8, 64])
    const sectors = Math.min(total, isLarge ? random.between(520, sectorsMax) : random.between(1, sectorsMax))
    // Half of all changes meet in the first part of the disk: overlaps.
    const span = random.chance(0.5) ? Math.min(total, sectors + 48) : total
    const firstSector = random.below(span - sectors + 1)
    const kind = isLarge
      ? 'write'
      : random.pick<Wanted['kind']>(['write', 'write', 'write', 'write', 'zero', 'trim'])
    return { kind, firstSector, sectors }
  }

  async #change(diskId: string, wanted: Wanted, fua: boolean): Promise<void> {
    for (;;) {
      if (!(await this.#connected(diskId))) return
      const change = this.#issue(diskId, wanted)
      const extent = {
        byteOffset: wanted.firstSector * sectorBytes,
        byteLength: wanted.sectors * sectorBytes,
      }
      const answered = await this.#request({
        diskId,
        change,
        call: (disk) => {
          if (change.kind === 'write')
            return disk.write(extent.byteOffset, dataOf(change.tag, change), { fua })
          if (change.kind === 'trim') return disk.trim(extent, { fua })
          return disk.writeZeroes(extent, { fua, mayUnmap: (change.tag & 1) === 1, fast: false })
        },
      })
      if (answered) {
        this.#acknowledge(change)
        this.acknowledged += 1
      }
      if (answered || !this.#world.scenario.guests.retries) return
    }
  }

  async #read(diskId: string, random: SimulatedRandom): Promise<void> {
    const model = this.models.get(diskId)
    if (model === undefined || !(await this.#connected(diskId))) return
    const sectors = random.between(1, 16)
    const firstSector = random.below(model.sectors - sectors + 1)
    const before = model.allowed(firstSector, sectors)
    let found = Buffer.alloc(0)
    const answered = await this.#request({
      diskId,
      change: null,
      call: async (disk) => {
        const read = await disk.read(firstSector * sectorBytes, sectors * sectorBytes)
        found = Buffer.concat(Buffer.isBuffer(read) ? [read] : read)
      },
    })
    if (!answered) return
    this.reads += 1
    model.check(found, { firstSector, before, what: 'a read' })
  }

  /** Waits until the disk is served; false when there is no more to do. */
  async #connected(diskId: string): Promise<boolean> {
    while (this.#tap.serving?.agent.served.has(diskId) !== true) {
      if (this.#stopped) return false
      await this.#world.kernel.step(this.#process, reconnectMs)
    }
    return true
  }

  #issue(diskId: string, wanted: Wanted): GuestChange {
    this.#lastTag += 1
    const issuedAt = this.#tick()
    const change = { ...wanted, tag: this.#lastTag, diskId, issuedAt, endedAt: Infinity, acknowledged: false }
    this.#pieces.set(change.tag, Math.ceil((wanted.sectors * sectorBytes) / writeBytesMax))
    this.changes.push(change)
    this.models.get(diskId)?.issue(change)
    return change
  }

  /** One request over a connection that may break; true when the reply came. */
  async #request(request: {
    readonly diskId: string
    readonly change: GuestChange | null
    readonly call: (disk: ReturnType<typeof nbdExportOf>) => Promise<void>
  }): Promise<boolean> {
    const serving = this.#tap.serving
    const disk = serving?.agent.served.get(request.diskId)
    if (serving === null || disk === undefined) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const entry: Request = { change: request.change, lose: () => resolve(false) }
    this.#requests.add(entry)
    void this.#send(serving.process, () => request.call(nbdExportOf(disk))).then(resolve)
    const answered = await promise
    this.#requests.delete(entry)
    return answered
  }

  async #send(process: SimulatedProcess, call: () => Promise<void>): Promise<boolean> {
    const { kernel } = this.#world
    this.#taken += 1
    await kernel.step(process)
    try {
      await call()
      if (process.alive) this.#taken -= 1
    } catch (error) {
      if (process.alive)
        this.#world.fail('guests', new Error(`a request failed: ${codeOf(error)} ${String(error)}`))
      return false
    }
    await kernel.step(process)
    return process.alive
  }

  /** What was under way may have happened or not, and will not happen later. */
  #connectionsBroke(): void {
    for (const { change, lose } of this.#requests) {
      if (change !== null) change.endedAt = this.#tick()
      lose()
    }
    this.#requests.clear()
    this.#taken = 0
  }

  #tick(): number {
    this.#order += 1
    return this.#order
  }
}
