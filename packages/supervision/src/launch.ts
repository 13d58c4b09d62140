import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Guard } from './guard.ts'
import type { ChildExit, ChildSpec, LaunchedProcess } from './supervised-child.ts'

export interface LaunchDeps {
  readonly guard: Guard
  /** Where running children are written down, by whoever has to find them after a kill. */
  readonly records?: {
    add(name: string, pid: number): void
    remove(name: string): void
  }
  /** Every line a child writes, from either stream. */
  readonly onLine: (name: string, line: string) => void
}

/**
 * Launches a real process: in its own process group, so that a terminal's Ctrl-C reaches only the supervisor
 * and the stop keeps its order; on the guard's list and in the records until it has exited; its standard
 * input an open pipe, whose end tells our services that the supervisor is gone.
 */
export function createLaunch(deps: LaunchDeps): (spec: ChildSpec) => LaunchedProcess {
  return (spec) => {
    const child = spawn(spec.command, [...spec.args], {
      env: { ...spec.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    const listeners = new Set<(line: string) => void>()
    readLines(child, (line) => {
      deps.onLine(spec.name, line)
      for (const listener of listeners) listener(line)
    })
    return {
      pid: child.pid ?? -1,
      exited: watchExit({ child, name: spec.name }, deps),
      onLine: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      kill: (signal) => void child.kill(signal),
    }
  }
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream, crlfDelay: Infinity }).on('line', onLine)
  }
  // Nothing is ever written to it; a child that is gone may still report the broken pipe.
  child.stdin?.on('error', () => undefined)
}

async function watchExit(
  started: { readonly child: ChildProcess; readonly name: string },
  deps: LaunchDeps,
): Promise<ChildExit> {
  const { child, name } = started
  const { pid } = child
  if (pid !== undefined) {
    deps.guard.add(pid)
    deps.records?.add(name, pid)
  }
  const { promise, resolve } = Promise.withResolvers<ChildExit>()
  child.once('exit', (code, signal) => resolve({ code, signal }))
  child.once('error', (error) => {
    deps.onLine(name, `does not start: ${error.message}`)
    if (pid === undefined) resolve({ code: 127, signal: null })
  })
  const exit = await promise
  if (pid !== undefined) deps.guard.remove(pid)
  deps.records?.remove(name)
  return exit
}
