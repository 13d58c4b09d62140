import {
  compareImages,
  PacedWriter,
  waitFor,
  waitForDrained,
  type LabClient,
  type LabProcessName,
} from '@blockferry/cli'
import { connectNbd, connectNbdWithRetry } from '@blockferry/nbd'
import { MiB } from '@blockferry/runtime'
import { expect } from 'vitest'
import { expectWholeHistory } from './whole-history.ts'

export interface KillPlan {
  readonly process: LabProcessName
  readonly signal: NodeJS.Signals
  /** Whether the guest connects again and repeats what was not answered. */
  readonly guestRetries: boolean
}

interface Guest {
  readonly writer: PacedWriter
  /** Ends the guest; a guest that does not retry may have been cut off, which is then no failure. */
  end(): Promise<void>
}

const guestBytesPerSecond = 2 * MiB

/** One round: guests write, a process dies under them, they write on, everything drains, both sides are compared. */
export async function runKillRound(lab: LabClient, plan: KillPlan): Promise<void> {
  const guests = await startGuests(lab, plan)
  await waitForWrites(guests, 200)
  await lab.killAndAwaitRestart(plan.process, plan.signal)
  const survivors = plan.guestRetries ? guests : await replaceGuests(lab, { plan, guests })
  await waitForWrites(survivors, 200)
  await Promise.all(survivors.map((guest) => guest.end()))
  await waitForDrained(lab)
  await expectEqualDisks(lab)
  const kafkaA = lab.ready.sites['site-a']?.kafka ?? ''
  await expectWholeHistory(lab, { kafkaA, diskIds: lab.ready.disks.map(({ id }) => id) })
}

async function startGuests(lab: LabClient, plan: KillPlan): Promise<readonly Guest[]> {
  return Promise.all(lab.ready.disks.map((disk) => startGuest(disk, plan)))
}

async function startGuest(disk: { id: string; nbd: string }, plan: KillPlan): Promise<Guest> {
  const path = new URL(disk.nbd).searchParams.get('socket') ?? ''
  const client = plan.guestRetries
    ? await connectNbdWithRetry({ path, exportName: disk.id, deadlineMs: 60_000 })
    : await connectNbd({ path, exportName: disk.id })
  const writer = new PacedWriter(client, { bytesPerSecond: guestBytesPerSecond })
  writer.start()
  return {
    writer,
    end: async () => {
      await writer.stop()
      await client.disconnect()
    },
  }
}

/** Guests that gave up are gone with what they had under way; new ones come, as after a reboot. */
async function replaceGuests(
  lab: LabClient,
  round: { plan: KillPlan; guests: readonly Guest[] },
): Promise<readonly Guest[]> {
  const ends = await Promise.allSettled(round.guests.map((guest) => guest.end()))
  if (round.plan.process === 'tap-agent') {
    expect(ends.map((end) => end.status)).toEqual(round.guests.map(() => 'rejected'))
  }
  let fresh: readonly Guest[] = []
  const reconnect = async () => {
    fresh = await startGuests(lab, round.plan)
    return true
  }
  await waitFor(reconnect, { what: 'new guests to connect', deadlineMs: 30_000, everyMs: 200 })
  return fresh
}

async function waitForWrites(guests: readonly Guest[], count: number): Promise<void> {
  const before = guests.map((guest) => guest.writer.writes)
  await waitFor(() => guests.every((guest, index) => guest.writer.writes - (before[index] ?? 0) >= count), {
    what: `${count} writes by every guest`,
    deadlineMs: 60_000,
  })
}

/** Byte for byte, and allocated sizes within 5 %. */
export async function expectEqualDisks(lab: LabClient): Promise<void> {
  for (const disk of lab.ready.disks) {
    const images = await compareImages(disk, { regionBytes: 1 * MiB })
    expect(images.differing, `regions of ${disk.id} that differ`).toEqual([])
    expect(images.targetSizeBytes).toBe(images.sourceSizeBytes)
    expect(
      images.targetAllocatedBytes / images.sourceAllocatedBytes,
      `allocation of ${disk.id}`,
    ).toBeGreaterThan(0.95)
    expect(
      images.targetAllocatedBytes / images.sourceAllocatedBytes,
      `allocation of ${disk.id}`,
    ).toBeLessThan(1.05)
  }
}
