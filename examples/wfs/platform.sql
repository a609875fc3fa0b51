-- The table behind the layer of the map server, in PostGIS.
CREATE TABLE patrol_area (
    fid         serial PRIMARY KEY,
    external_id text UNIQUE,
    name        text NOT NULL,
    fee         numeric(12,2),
    geom        geometry(Polygon, 25832)
);
