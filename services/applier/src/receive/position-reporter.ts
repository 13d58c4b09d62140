import { AssertionError, codeOf, type Clock } from '@blockferry/runtime'
import type { PositionReport } from '@blockferry/disk-stream'
import { topicNames } from '@blockferry/replication-log'
import { encodePositionReport } from '@blockferry/schemas'
import type { Disk } from '../disk/disk.ts'
import { stateOf } from '../disk/disk-state.ts'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierLogger } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'

/** Disks in one produce. */
const reportsMax = 2_000

/** What the source learns of a disk (R1): `received` is what an fdatasync covers, never more. */
export function reportOf(
  disk: Disk,
  options: { readonly site: string; readonly nowMs: number },
): PositionReport {
  const { state, code } = stateOf(disk)
  const { source } = disk
  const echo = source === null ? null : { sourceTimeMs: source.sourceTimeMs, arrivedAtMs: source.arrivedAtMs }
  return {
    diskId: disk.diskId,
    site: options.site,
    state,
    code,
    received: disk.received.applied,
    applied: disk.applied.applied,
    reportedAtMs: options.nowMs,
    echo,
  }
}

/** Publishes positions: soon after a change, and each second anyway, for the source's clock estimate. */
export class PositionReporter {
  readonly #deps: {
    readonly clock: Clock
    readonly logger: ApplierLogger
  }
  readonly #options: ApplierOptions
  readonly #volume: Volume
  /** What was said last, without its times. */
  readonly #said = new Map<string, string>()

  constructor(
    deps: { readonly clock: Clock; readonly logger: ApplierLogger },
    options: ApplierOptions,
    volume: Volume,
  ) {
    this.#deps = deps
    this.#options = options
    this.#volume = volume
  }

  /** Reports in this session until the signal aborts. Throws what ends the session. */
  async run(session: KafkaSession, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps
    const { reportIntervalMsMin, reportIntervalMsMax, retryMsMax } = this.#options
    let allSaidMs = -Infinity
    while (!signal.aborted) {
      const everything = clock.monotonicMs() - allSaidMs >= reportIntervalMsMax
      try {
        await this.#report(session, { everything, signal })
        if (everything) allSaidMs = clock.monotonicMs()
        await clock.sleep(reportIntervalMsMin, signal)
      } catch (error) {
        if (error instanceof AssertionError) throw error
        if (signal.aborted) return
        session.meet(error)
        logger.warn(
          { event: 'report-failed', code: codeOf(error), err: error },
          'positions could not be published; trying again',
        )
        await clock.sleep(retryMsMax / 5, signal)
      }
    }
  }

  async #report(
    session: KafkaSession,
    { everything, signal }: { readonly everything: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const { clock } = this.#deps
    const nowMs = clock.wallMs()
    const changed: { readonly diskId: string; readonly said: string; readonly value: Buffer }[] = []
    for (const disk of this.#volume.disks.values()) {
      const report = reportOf(disk, { site: this.#options.site, nowMs })
      const said = JSON.stringify([report.state, report.code, report.received, report.applied])
      if (!everything && this.#said.get(disk.diskId) === said) continue
      changed.push({ diskId: disk.diskId, said, value: encodePositionReport(report) })
    }
    for (let from = 0; from < changed.length; from += reportsMax) {
      const slice = changed.slice(from, from + reportsMax)
      const records = slice.map(({ diskId, value }) => ({ key: Buffer.from(diskId, 'utf8'), value }))
      await session.log.produce({ topic: topicNames.positions, kafkaPartition: 0, records }, signal)
      for (const { diskId, said } of slice) this.#said.set(diskId, said)
      this.#volume.stats.reportsSent += slice.length
    }
  }
}
