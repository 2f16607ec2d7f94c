/* crew/crew.h - process pools for C. The umbrella over the smaller headers. */
#ifndef CREW_CREW_H
#define CREW_CREW_H

#include <crew/channel.h>
#include <crew/error.h>
#include <crew/future.h>
#include <crew/journal.h>
#include <crew/manager.h>
#include <crew/pool.h>
#include <crew/process.h>
#include <crew/shared.h>
#include <crew/sync.h>
#include <crew/task.h>
#include <crew/topology.h>

#define CREW_VERSION_MAJOR 0
#define CREW_VERSION_MINOR 1
#define CREW_VERSION_PATCH 0
#define CREW_VERSION "0.1.0"

#endif
