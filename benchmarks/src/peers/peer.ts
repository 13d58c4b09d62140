import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { waitFor } from '@blockferry/cli'

/** A server that the same fio load is run against. */
export interface Peer extends AsyncDisposable {
  readonly uri: string
}

/** Null when the tool is there; else the reason to print. */
export function missingTool(tool: string): string | null {
  const probe = spawnSync('which', [tool])
  return probe.status === 0 ? null : `${tool} is not installed`
}

/** Starts a peer's process; what it says on standard error goes with the failure. */
export function startPeerProcess(
  command: string,
  args: readonly string[],
): { child: ChildProcess; stop: () => Promise<void> } {
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }
  return { child, stop }
}

export async function waitForSocket(path: string): Promise<void> {
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(path)
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
  await waitFor(answers, { what: `a server on ${path}`, deadlineMs: 10_000 })
}
