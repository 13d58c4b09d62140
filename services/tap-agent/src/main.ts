/*
 * The tap agent. Disk I/O, spool appends and fdatasync share libuv's thread pool, whose size is fixed before
 * any JavaScript runs: whoever starts the agent sets UV_THREADPOOL_SIZE (16 suits a dozen busy disks; the
 * default of 4 is enough for one).
 */
import { parseConfig, runService } from '@blockferry/runtime/service'
import { startTapAgent } from './app.ts'
import { options, rules } from './config.ts'

await runService({
  service: 'tap-agent',
  start: (context) => {
    const { argv, env } = context
    const config = parseConfig({ service: 'tap-agent', options, rules, argv, env })
    return startTapAgent(config, context)
  },
})
