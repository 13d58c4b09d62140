/*
 * DIR, all state of a lab:
 *
 *   ports.json ready.json pids.json   logs/NAME.log   site-a/{kafka,tap-agent,disks}   site-b/{kafka,applier,images}
 */
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fault } from '../faults.ts'

export interface LabPaths {
  readonly directory: string
  readonly portsFile: string
  readonly readyFile: string
  readonly pidsFile: string
  readonly logs: string
  readonly kafkaA: string
  readonly kafkaB: string
  readonly mirror: string
  readonly tapState: string
  readonly disks: string
  readonly applierState: string
  readonly images: string
  readonly nbdSocket: string
}

/** A unix socket's path must fit in 108 bytes with its terminator. */
const socketPathBytesMax = 107

/** Creates what is missing and names every place. */
export function layOutLabDirectory(directory: string): LabPaths {
  const inside = (...parts: string[]) => join(directory, ...parts)
  const directories = {
    directory,
    logs: inside('logs'),
    kafkaA: inside('site-a', 'kafka'),
    kafkaB: inside('site-b', 'kafka'),
    mirror: inside('site-b', 'mirror'),
    tapState: inside('site-a', 'tap-agent'),
    disks: inside('site-a', 'disks'),
    applierState: inside('site-b', 'applier'),
    images: inside('site-b', 'images'),
  }
  for (const path of Object.values(directories)) mkdirSync(path, { recursive: true })
  const files = {
    portsFile: inside('ports.json'),
    readyFile: inside('ready.json'),
    pidsFile: inside('pids.json'),
  }
  return { ...directories, ...files, nbdSocket: nbdSocketPath(directory) }
}

/** In DIR where the path is short enough, else in the system's temporary directory under DIR's own name. */
function nbdSocketPath(directory: string): string {
  const path = join(directory, 'nbd.sock')
  if (Buffer.byteLength(path) <= socketPathBytesMax) return path
  return join(tmpdir(), `blockferry-${nameOf(directory).slice(0, 16)}.nbd.sock`)
}

function nameOf(directory: string): string {
  return createHash('sha256').update(realpathSync(directory)).digest('hex')
}

/**
 * One `start` per directory. The lock is an abstract unix socket named after the directory's real path: the
 * kernel drops it with the process, however that ends, so a lock is never stale.
 * @throws LAB_IN_USE naming the holder's pid.
 */
export async function lockLabDirectory(directory: string): Promise<AsyncDisposable> {
  const name = `\0blockferry-lab-${nameOf(directory)}`
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end(String(process.pid))
  })
  if (!(await tryListen(server, name))) {
    const holder = await askHolder(name)
    throw fault('LAB_IN_USE', `${directory} is in use by another start (pid ${holder})`)
  }
  server.unref()
  return {
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

async function tryListen(server: Server, name: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') resolve(false)
    else reject(error)
  })
  server.listen(name, () => resolve(true))
  return promise
}

async function askHolder(name: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect(name)
  let answer = ''
  socket.setTimeout(1000, () => socket.destroy())
  socket.on('data', (chunk) => (answer += chunk.toString()))
  socket.on('error', () => resolve('unknown'))
  socket.on('close', () => resolve(answer === '' ? 'unknown' : answer))
  return promise
}
