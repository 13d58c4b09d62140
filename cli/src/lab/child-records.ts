/*
 * Which processes a lab has, on disk, so that the next start can end what a killed one left behind.
 *
 * Invariant P1: a process is only ever signalled by a record if its start time and its command line are the
 * recorded ones; a reused pid is never touched.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Clock } from '@blockferry/runtime'
import { writeFileAtomically } from './atomic-file.ts'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot at which the process started. */
  readonly startTicks: string
  readonly commandLine: string
}

/** Who a pid is now; null when there is no such process (or it is only waiting to be reaped). */
export function identify(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may itself hold spaces and parentheses: fields count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
    return fields[0] === 'Z' ? null : { pid, startTicks: fields[19] ?? '', commandLine }
  } catch {
    return null
  }
}

export function isStill(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid)
  return now !== null && now.startTicks === identity.startTicks && now.commandLine === identity.commandLine
}

/** The file of records; every change is on disk before it matters. */
export class ChildRecords {
  readonly #path: string
  readonly #records = new Map<string, ProcessIdentity>()

  constructor(path: string) {
    this.#path = path
  }

  add(name: string, pid: number): void {
    const identity = identify(pid)
    if (identity === null) return
    this.#records.set(name, identity)
    this.#write()
  }

  remove(name: string): void {
    if (this.#records.delete(name)) this.#write()
  }

  #write(): void {
    writeFileAtomically(this.#path, `${JSON.stringify(Object.fromEntries(this.#records), null, 2)}\n`)
  }
}

/** How long a left-over process gets between SIGTERM and SIGKILL. */
export const staleStopMsMax = 12_000

/** Ends every process that a lab which was killed left behind; returns their names. */
export async function stopStaleChildren(path: string, clock: Clock): Promise<readonly string[]> {
  const stale = readRecords(path).filter(({ identity }) => isStill(identity))
  for (const { identity } of stale) signal(identity, 'SIGTERM')
  const deadlineMs = clock.monotonicMs() + staleStopMsMax
  while (stale.some(({ identity }) => isStill(identity)) && clock.monotonicMs() < deadlineMs) {
    await clock.sleep(50)
  }
  for (const { identity } of stale) signal(identity, 'SIGKILL')
  while (stale.some(({ identity }) => isStill(identity))) await clock.sleep(20)
  return stale.map(({ name }) => name)
}

function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isStill(identity)) return
  try {
    process.kill(identity.pid, name)
  } catch (error) {
    // It ended between the look and the signal: that is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function readRecords(path: string): readonly { readonly name: string; readonly identity: ProcessIdentity }[] {
  if (!existsSync(path)) return []
  try {
    const content = JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, ProcessIdentity>>
    return Object.entries(content).map(([name, identity]) => ({ name, identity }))
  } catch {
    // Half a file cannot be (atomic replacement); anything else in its place names no process of ours.
    return []
  }
}
